// "strategy/data_parallel": every worker holds all parameters, and the communicator's own collectives do the rest: one
// all-reduce a bucket beside the backward pass, or (for comparison) a gather to rank 0, which updates and broadcasts.
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/bucketed_strategy.h"
#include "parallel/strategies/compression.h"
#include "parallel/strategies/data_parallel/data_parallel.pb.h"
#include "parallel/strategies/data_parallel/gather_to_one.h"

namespace trireme {
namespace {

class AllReduceStrategy : public BucketedStrategy {
 public:
  AllReduceStrategy(const BucketConfig& config, const BuildArgs& args)
      : BucketedStrategy(args, buckets_),
        buckets_("strategy/data_parallel", config, *args.arena,
                 [](Communicator& communicator, const Tensor& gradients, Stream& stream) {
                   return communicator.AllReduce(gradients, ReduceOperation::kSum, stream);
                 }) {}

 private:
  BucketStream buckets_;
};

StatusOr<std::unique_ptr<Strategy>> MakeDataParallel(const DataParallelConfig& config,
                                                     const Strategy::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckBuckets(config.buckets()));
  if (config.reduction() == DataParallelConfig::GATHER_TO_ONE) {
    return MakeGatherToOne(TypeOnTheWire(config.buckets()), args);
  }
  return std::unique_ptr<Strategy>(std::make_unique<AllReduceStrategy>(config.buckets(), args));
}

TRIREME_REGISTER_COMPONENT("strategy/data_parallel", Strategy, DataParallelConfig, MakeDataParallel);

}  // namespace
}  // namespace trireme

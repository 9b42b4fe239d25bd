// "strategy/data_parallel": every worker holds all parameters, and the communicator's own collectives do the rest: one
// all-reduce a bucket beside the backward pass, or (for comparison) a gather to rank 0, which updates and broadcasts.
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/bucket_stream.h"
#include "parallel/strategies/compression.h"
#include "parallel/strategies/data_parallel/data_parallel.pb.h"
#include "parallel/strategies/data_parallel/gather_to_one.h"
#include "parallel/strategies/publish.h"

namespace trireme {
namespace {

class AllReduceStrategy : public Strategy {
 public:
  AllReduceStrategy(const BucketConfig& config, const BuildArgs& args)
      : args_(args),
        buckets_("strategy/data_parallel", config, *args.arena,
                 [](Communicator& communicator, const Tensor& gradients, Stream& stream) {
                   return communicator.AllReduce(gradients, ReduceOperation::kSum, stream);
                 }) {}

  Status Setup() override {
    TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, {WholeArena(*args_.arena)}));
    TRIREME_RETURN_IF_ERROR(PublishParameters(*args_.arena, *args_.communicator));
    return buckets_.Setup(*args_.communicator, args_.may_skip);
  }
  void BeginStep(int64_t step) override { buckets_.BeginStep(step); }
  void OnGradientReady(int index) override { buckets_.OnGradientReady(index); }
  Status Step(GradientGuard& guard) override {
    return FinishAndUpdate(&buckets_, *args_.arena, args_.optimizer, guard);
  }
  bool synchronous() const override { return true; }
  std::vector<std::pair<std::string, Tensor>> State() const override { return buckets_.KeptState(); }
  std::vector<std::string> schedule() const override { return buckets_.schedule(); }
  std::string UnderWay() const override { return buckets_.UnderWay(); }
  double exposed_communication_seconds() const override { return buckets_.exposed_seconds(); }
  double communication_seconds() const override { return buckets_.communication_seconds(); }

 private:
  const BuildArgs args_;
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

// "strategy/ring_all_reduce": every worker holds all parameters and updates all of them; the gradients are summed by a
// ring of our own (parallel/strategies/ring), bucket by bucket, while the backward pass goes on.
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/bucketed_strategy.h"
#include "parallel/strategies/ring/ring.h"
#include "parallel/strategies/ring_all_reduce/ring_all_reduce.pb.h"

namespace trireme {
namespace {

// What two threads hand over at once. Smaller pieces stay in the cache but wake the peer more often: 64 MiB over two
// threads took 13 ms in pieces of 4 MiB, 15 ms in pieces of 1 MiB or whole, 42 ms in pieces of 64 KiB (two Zen 3
// cores).
constexpr int64_t kPieceBytes = int64_t{4} << 20;

class RingAllReduceStrategy : public BucketedStrategy {
 public:
  RingAllReduceStrategy(const RingAllReduceConfig& config, const BuildArgs& args)
      : BucketedStrategy(args, buckets_),
        ring_(WholeRing(*args.communicator)),
        buckets_("strategy/ring_all_reduce", config.buckets(), *args.arena,
                 [this](Communicator& communicator, const Tensor& gradients, Stream& stream) {
                   return RingAllReduce(communicator, ring_, gradients, scratch_, stream);
                 }) {}

  Status Setup() override {
    scratch_ = Tensor::Empty(args_.arena->device(), {kPieceBytes / static_cast<int64_t>(sizeof(float))},
                             buckets_.type_on_the_wire(), MemoryKind::kGradients);
    return BucketedStrategy::Setup();
  }

 private:
  const Ring ring_;
  Tensor scratch_;
  // The last member: its stream's work refers to the others.
  BucketStream buckets_;
};

StatusOr<std::unique_ptr<Strategy>> MakeRingAllReduce(const RingAllReduceConfig& config,
                                                      const Strategy::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckBuckets(config.buckets()));
  return std::unique_ptr<Strategy>(std::make_unique<RingAllReduceStrategy>(config, args));
}

TRIREME_REGISTER_COMPONENT("strategy/ring_all_reduce", Strategy, RingAllReduceConfig, MakeRingAllReduce);

}  // namespace
}  // namespace trireme

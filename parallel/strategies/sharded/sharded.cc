// "strategy/sharded": ZeRO (Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
// SC 2020), stage 1. Each bucket is cut into as many equal parts as there are workers. Its gradients are summed to the
// workers that hold the parts (reduce-scatter) while the backward pass goes on; each updates its part with its part of
// the optimizer's state, and the new values are gathered by all, beside the updates of other buckets.
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/bucket_stream.h"
#include "parallel/strategies/publish.h"
#include "parallel/strategies/ring/ring.h"
#include "parallel/strategies/sharded/sharded.pb.h"

namespace trireme {
namespace {

constexpr int64_t kCacheLine = 16;                // elements; no part shares one with another
constexpr int64_t kRingPiece = int64_t{1} << 20;  // elements

class Sharded : public Strategy {
 public:
  Sharded(const ShardedConfig& config, const BuildArgs& args)
      : args_(args),
        compute_(args.arena->device().compute_stream()),
        by_ring_(config.collectives() == ShardedConfig::RING),
        ring_(WholeRing(*args.communicator)),
        buckets_(
            "strategy/sharded", config.buckets(), *args.arena,
            [this](Communicator& communicator, const Tensor& gradients, Stream& stream) {
              return ReduceScatter(communicator, gradients, stream);
            },
            kCacheLine * args.communicator->size()) {}

  Status Setup() override {
    std::vector<ArenaPiece> mine;
    for (const Bucket& bucket : buckets_.buckets()) {
      const ArenaPiece part = MyPart(bucket);
      if (part.values.size() > 0) mine.push_back(part);
    }
    TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, mine));
    TRIREME_RETURN_IF_ERROR(PublishParameters(*args_.arena, *args_.communicator));
    if (by_ring_) {
      scratch_ =
          Tensor::Empty(args_.arena->device(), {kRingPiece}, buckets_.type_on_the_wire(), MemoryKind::kGradients);
    }
    return buckets_.Setup(*args_.communicator);
  }
  void BeginStep(int64_t step) override { buckets_.BeginStep(step); }
  void OnGradientReady(int index) override { buckets_.OnGradientReady(index); }

  Status Step(GradientGuard& guard) override {
    buckets_.LaunchRest();
    for (int k = 0; k < num_buckets(); ++k) {
      TRIREME_RETURN_IF_ERROR(buckets_.FinishNext());
      if (guard.waits_for_all()) {
        const ArenaPiece part = MyPart(buckets_.buckets()[k]);
        guard.Inspect(part.begin, part.gradients, compute_);
      } else {
        Update(k, guard);
      }
    }
    if (guard.waits_for_all()) {
      TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/false, compute_));
      for (int k = 0; k < num_buckets(); ++k) Update(k, guard);
    }
    return buckets_.FinishGathers();
  }
  bool synchronous() const override { return true; }
  std::vector<std::pair<std::string, Tensor>> State() const override { return buckets_.KeptState(); }
  std::vector<std::string> schedule() const override { return buckets_.schedule(); }
  double exposed_communication_seconds() const override { return buckets_.exposed_seconds(); }
  double communication_seconds() const override { return buckets_.communication_seconds(); }

 private:
  int num_buckets() const { return static_cast<int>(buckets_.buckets().size()); }

  ArenaPiece MyPart(const Bucket& bucket) const {
    const int64_t size = (bucket.end - bucket.begin) / args_.communicator->size();
    const int64_t begin = bucket.begin + size * args_.communicator->rank();
    return PieceOf(*args_.arena, begin, begin + size);
  }

  void Update(int k, GradientGuard& guard) {
    const ArenaPiece part = MyPart(buckets_.buckets()[k]);
    if (part.values.size() == 0) return;
    args_.optimizer->Update(part.begin, part.end(), guard.control(), compute_);
    buckets_.LaunchGather(k, [this](Communicator& communicator, const Tensor& values, Stream& stream) {
      return by_ring_ ? RingAllGather(communicator, ring_, values, kRingPiece, stream)
                      : communicator.AllGather(values, stream);
    });
  }

  Status ReduceScatter(Communicator& communicator, const Tensor& gradients, Stream& stream) {
    if (gradients.size() == 0) return absl::OkStatus();
    return by_ring_ ? RingReduceScatter(communicator, ring_, gradients, scratch_, stream)
                    : communicator.ReduceScatter(gradients, ReduceOperation::kSum, stream);
  }

  const BuildArgs args_;
  Stream& compute_;
  const bool by_ring_;
  const Ring ring_;
  Tensor scratch_;  // the ring's
  // The last member: its stream's work refers to the others.
  BucketStream buckets_;
};

StatusOr<std::unique_ptr<Strategy>> MakeSharded(const ShardedConfig& config, const Strategy::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckBuckets(config.buckets()));
  return std::unique_ptr<Strategy>(std::make_unique<Sharded>(config, args));
}

TRIREME_REGISTER_COMPONENT("strategy/sharded", Strategy, ShardedConfig, MakeSharded);

}  // namespace
}  // namespace trireme

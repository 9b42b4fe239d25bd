// "strategy/sharded": ZeRO (Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
// SC 2020), stages 1 and 2. Each bucket is cut into as many equal parts as there are workers. Its gradients are summed
// to the workers that hold the parts (reduce-scatter) while the backward pass goes on; each updates its part with its
// part of the optimizer's state, and the new values are gathered by all, beside the updates of other buckets.
//
// Stage 3, which divides the parameters as well, is not here: functions read parameters as views of the one arena,
// which would have to come and go as gradients do in stage 2, in the forward pass, too; and a detector's parameters are
// small beside its activations.
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/bucketed_strategy.h"
#include "parallel/strategies/publish.h"
#include "parallel/strategies/ring/ring.h"
#include "parallel/strategies/sharded/passing_gradients.h"
#include "parallel/strategies/sharded/sharded.pb.h"

namespace trireme {
namespace {

constexpr int64_t kCacheLine = 16;                // elements; no part shares one with another
constexpr int64_t kRingPiece = int64_t{1} << 20;  // elements

class Sharded : public BucketedStrategy {
 public:
  Sharded(const ShardedConfig& config, const BuildArgs& args)
      : BucketedStrategy(args, buckets_),
        compute_(args.arena->device().compute_stream()),
        by_ring_(config.collectives() == ShardedConfig::RING),
        ring_(WholeRing(*args.communicator)),
        passing_(config.stage() == 1 ? nullptr
                                     : std::make_unique<PassingGradients>(*args.arena, args.communicator->rank(),
                                                                          args.communicator->size())),
        buckets_(
            "strategy/sharded", config.buckets(), *args.arena,
            [this](Communicator& communicator, const Tensor& gradients, Stream& stream) {
              return ReduceScatter(communicator, gradients, stream);
            },
            kCacheLine * args.communicator->size(), passing_.get()) {}

  Status Setup() override {
    if (passing_ != nullptr) {
      passing_->Setup(&buckets_);
      args_.arena->PlaceGradients(passing_.get());
    }
    std::vector<ArenaPiece> mine;
    for (int k = 0; k < num_buckets(); ++k) {
      parts_.push_back(MyPart(k));
      if (parts_.back().values.size() > 0) mine.push_back(parts_.back());
    }
    TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, mine));
    TRIREME_RETURN_IF_ERROR(PublishParameters(*args_.arena, *args_.communicator));
    if (by_ring_) {
      scratch_ =
          Tensor::Empty(args_.arena->device(), {kRingPiece}, buckets_.type_on_the_wire(), MemoryKind::kGradients);
    }
    return buckets_.Setup(*args_.communicator, args_.may_skip);
  }

  Status Step(GradientGuard& guard) override {
    buckets_.LaunchRest();
    for (int k = 0; k < num_buckets(); ++k) {
      TRIREME_RETURN_IF_ERROR(buckets_.FinishNext());
      if (passing_ != nullptr) passing_->Release(k);
      if (guard.waits_for_all()) {
        guard.Inspect(parts_[k].begin, parts_[k].gradients, compute_);
      } else {
        Update(k, guard);
      }
    }
    if (guard.waits_for_all()) {
      TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/false, compute_));
      buckets_.Decided(guard);
      for (int k = 0; k < num_buckets(); ++k) Update(k, guard);
    }
    return buckets_.FinishGathers();
  }

 private:
  int num_buckets() const { return static_cast<int>(buckets_.buckets().size()); }

  // Its own share of bucket k.
  ArenaPiece MyPart(int k) const {
    const Bucket& bucket = buckets_.buckets()[static_cast<size_t>(k)];
    const int64_t size = (bucket.end - bucket.begin) / args_.communicator->size();
    const int64_t begin = bucket.begin + size * args_.communicator->rank();
    if (passing_ == nullptr) return PieceOf(*args_.arena, begin, begin + size);
    return {begin, args_.arena->values().Flat(begin, begin + size), passing_->sums(k)};
  }

  void Update(int k, GradientGuard& guard) {
    const ArenaPiece& part = parts_[static_cast<size_t>(k)];
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

  Stream& compute_;
  const bool by_ring_;
  const Ring ring_;
  Tensor scratch_;                                   // the ring's
  std::vector<ArenaPiece> parts_;                    // by bucket
  const std::unique_ptr<PassingGradients> passing_;  // in stage 2
  // The last member: its stream's work refers to the others.
  BucketStream buckets_;
};

StatusOr<std::unique_ptr<Strategy>> MakeSharded(const ShardedConfig& config, const Strategy::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckBuckets(config.buckets()));
  if (config.stage() != 1 && config.stage() != 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "stage is ", config.stage(), "; it has to be 1 (the optimizer's state is divided) or 2 (gradients, too)"));
  }
  return std::unique_ptr<Strategy>(std::make_unique<Sharded>(config, args));
}

TRIREME_REGISTER_COMPONENT("strategy/sharded", Strategy, ShardedConfig, MakeSharded);

}  // namespace
}  // namespace trireme

// Gradients that a worker keeps for as long as their bucket takes (ZeRO stage 2): a bucket's memory is taken when the
// first of its gradients is written, and given back when its sums are where they belong. What stays is this worker's
// part of the sums.
//
// So the peak is that part, the bucket that is being written, and the one that is being reduced: before another one is
// reduced, the compute stream (on CPU the worker itself) waits for it. Without overlap all buckets are there at once.
//
// Buckets are aligned (see AlignBuckets), but a gradient is written in one piece: what the bounds cut off one is copied
// from the bucket that it is written in to the next.
#ifndef TRIREME_PARALLEL_STRATEGIES_SHARDED_PASSING_GRADIENTS_H_
#define TRIREME_PARALLEL_STRATEGIES_SHARDED_PASSING_GRADIENTS_H_

#include <functional>
#include <vector>

#include "core/nn/parameter_arena.h"
#include "parallel/strategies/bucket_stream.h"
#include "parallel/strategies/buckets.h"

namespace trireme {

class PassingGradients : public GradientPlaces, public BucketStorage {
 public:
  // All outlive it, `buckets` as BucketStream was made with it.
  PassingGradients(const ParameterArena& arena, int rank, int workers)
      : arena_(arena), rank_(rank), workers_(workers) {}

  // Allocates what stays.
  void Setup(BucketStream* buckets);

  // This worker's part of bucket k: its sums, once the bucket is finished.
  const Tensor& sums(int k) const { return buckets_[static_cast<size_t>(k)].sums; }
  // The compute stream has waited for bucket k.
  void Release(int k);

  Tensor PlaceOf(int parameter_index) override;
  Tensor BeginReduction(int k) override;
  void EndReduction(int k, const Tensor& gradients, Stream& stream) override;

 private:
  struct Held {
    int64_t begin = 0;  // arena element: the bucket's first, or of its first parameter, whichever is lower
    Tensor gradients;   // of arena elements from `begin` to the bucket's end; undefined while not needed
    Tensor sums;
  };

  // Its memory, zero where nothing was written.
  Held& Hold(int k);

  const ParameterArena& arena_;
  const int rank_, workers_;
  BucketStream* stream_ = nullptr;
  std::vector<Held> buckets_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_SHARDED_PASSING_GRADIENTS_H_

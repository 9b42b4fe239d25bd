// Buckets: ranges of the arena whose gradients are communicated together, as
// soon as all are there.
//
// Gradients complete roughly in reverse order of the parameters (Li et al.,
// "PyTorch Distributed", VLDB 2020, section 3.2.3), so the buckets run from the
// end of the arena to its beginning. Nothing is copied: a bucket is a range.
#ifndef TRIREME_PARALLEL_STRATEGIES_BUCKETS_H_
#define TRIREME_PARALLEL_STRATEGIES_BUCKETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/nn/parameter_arena.h"

namespace trireme {

struct Bucket {
  // Arena elements. From the first to the last trained parameter; frozen ones
  // in between are included.
  int64_t begin = 0;
  int64_t end = 0;
  int num_trained = 0;  // parameters to wait for
  std::string name;     // "head.weight to head.bias", for messages
};

struct BucketPlan {
  std::vector<Bucket> buckets;  // in the order of communication, the same on every rank
  std::vector<int> bucket_of;   // by parameter index; -1 for frozen parameters
};

// Closes a bucket when it holds `bucket_bytes` or more; the first, which all
// later ones wait behind, at `first_bucket_bytes`. A parameter is never
// divided.
BucketPlan PlanBuckets(const ParameterArena& arena, int64_t first_bucket_bytes, int64_t bucket_bytes);

// For sentences: "bucket 2 of 5 (a to b)" while `next` counts what is done of them, with what is not `begun` said so.
std::string BucketUnderWay(const BucketPlan& plan, int next, bool begun);

// Which buckets of a step are complete. Arena and plan outlive it.
class BucketProgress {
 public:
  BucketProgress(const ParameterArena& arena, const BucketPlan& plan);

  void BeginStep();
  // Once a step for each trained parameter; frozen ones do not count.
  void OnGradientReady(int index);
  // The next bucket in order, if it is complete; else -1.
  int TakeComplete();
  int num_taken() const { return num_taken_; }
  // At the step's end.
  void CheckAllTaken() const;

 private:
  const ParameterArena& arena_;
  const BucketPlan& plan_;
  std::vector<int> pending_;  // by bucket: gradients that are not complete
  int num_taken_ = 0;
};

// Moves the bounds of all buckets to multiples of `alignment` elements, which divides the arena, so that each bucket
// has equal parts. They then cover all between the first and the last, without gaps; what is cut off a parameter is in
// the next bucket. A bucket may end up empty.
void AlignBuckets(int64_t alignment, BucketPlan* plan);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_BUCKETS_H_

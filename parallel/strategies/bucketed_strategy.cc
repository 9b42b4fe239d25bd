#include "parallel/strategies/bucketed_strategy.h"

#include "parallel/strategies/publish.h"

namespace trireme {

Status BucketedStrategy::Setup() {
  TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, {WholeArena(*args_.arena)}));
  TRIREME_RETURN_IF_ERROR(PublishParameters(*args_.arena, *args_.communicator));
  return buckets_.Setup(*args_.communicator, args_.may_skip);
}

Status BucketedStrategy::Step(GradientGuard& guard) {
  Stream& compute = args_.arena->device().compute_stream();
  buckets_.LaunchRest();
  for (const Bucket& bucket : buckets_.buckets()) {
    TRIREME_RETURN_IF_ERROR(buckets_.FinishNext());
    if (guard.waits_for_all()) {
      guard.Inspect(bucket.begin, args_.arena->gradients().Flat(bucket.begin, bucket.end), compute);
    } else {
      args_.optimizer->Update(bucket.begin, bucket.end, guard.control(), compute);
    }
  }
  if (!guard.waits_for_all()) return absl::OkStatus();
  // All workers have the same sums.
  TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/true, compute));
  buckets_.Decided(guard);
  for (const Bucket& bucket : buckets_.buckets()) {
    args_.optimizer->Update(bucket.begin, bucket.end, guard.control(), compute);
  }
  return absl::OkStatus();
}

}  // namespace trireme

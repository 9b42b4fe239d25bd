// Gradients in 16 bits while they travel, with error feedback: what a worker's rounding leaves out of what it sends is
// kept in float32 and added to what it sends in the next step, so that nothing is lost in the long run (Seide et al.,
// "1-Bit Stochastic Gradient Descent and its Application to Data-Parallel Distributed Training of Speech DNNs",
// Interspeech 2014; Karimireddy et al., "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML
// 2019).
//
// The sum of all that was sent, plus the residual, is the sum of all gradients, up to the rounding of float32. The sums
// over workers are rounded to 16 bits on their way as the reduction does it; that is not fed back. A step that is
// skipped leaves the residual as it was before it, and where float16's losses are scaled, it is scaled as those of the
// next step are.
//
// Float16 holds no more than 65504: of a larger gradient the rest stays in the residual. One that is not finite is sent
// as it is, for all to see, and leaves the residual alone.
#ifndef TRIREME_PARALLEL_STRATEGIES_COMPRESSION_H_
#define TRIREME_PARALLEL_STRATEGIES_COMPRESSION_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/gradient_guard.h"
#include "core/nn/parameter_arena.h"
#include "parallel/strategies/buckets.pb.h"

namespace trireme {

// The element type in which gradients travel.
DataType TypeOnTheWire(const BucketConfig& config);

// Used by one thread; all work is enqueued on one stream, and may be recorded.
class GradientCompression {
 public:
  // For ranges of the arena of up to `longest` elements. `type` is a 16-bit one. Where steps may be skipped, the
  // residual of the step before is kept until Decided.
  GradientCompression(const ParameterArena& arena, DataType type, int64_t longest, bool may_skip);

  // What is to be sent for these gradients of the arena's elements from `begin` on: a tensor that holds until the next
  // call, in stream order.
  Tensor Compress(int64_t begin, const Tensor& gradients, Stream& stream);
  // Puts what became of it, here or on another worker, into float32 gradients of that size.
  static void Expand(const Tensor& reduced, const Tensor& gradients, Stream& stream);

  // The guard has decided on the step, in which every range was compressed once, in order of `stream`.
  void Decided(const GradientGuard& guard, Stream& stream);

  // See Strategy::State.
  std::vector<std::pair<std::string, Tensor>> State() const { return {{"residual", residual_}}; }

 private:
  Tensor residual_;  // float32 [arena size]
  Tensor next_;      // what it is if the step is not skipped, float32 [arena size]; undefined if none may be
  Tensor wire_;      // [longest]
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_COMPRESSION_H_

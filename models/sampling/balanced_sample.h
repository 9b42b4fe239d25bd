// A random sample of boxes to train on, with at most a given share of those that have an object: Ren, He, Girshick,
// Sun: Faster R-CNN, NIPS 2015 (section 3.1.3), as torchvision's BalancedPositiveNegativeSampler has it.
//
// Runs on the device in stream order, with fixed shapes and without a read-back. Every box draws a number of its own
// (core/base/random.h) that depends on the seed, the image's key (core/api/batch.h), `stream_number` and the box's
// index; the largest are taken. So the sample is the same however images are divided among workers, and on every
// device.
#ifndef TRIREME_MODELS_SAMPLING_BALANCED_SAMPLE_H_
#define TRIREME_MODELS_SAMPLING_BALANCED_SAMPLE_H_

#include <cstdint>

#include "core/tensor/tensor.h"

namespace trireme {

struct SampleOptions {
  int count = 256;              // boxes an image
  float positive_share = 0.5f;  // at most, rounded down; where there are fewer, background takes their places
  uint64_t seed = 0;            // of the run
  uint64_t stream_number = 0;   // tells samples of one image and step apart
};

struct BoxSample {
  Tensor chosen;    // float32 [N, A]: 1 for those in the sample, else 0
  Tensor positive;  // float32 [N, A]: 1 for those of them that have an object, else 0
  Tensor counts;    // float32 [N]: how many are in the sample, at most `count`
};

// matches int32 [N, A], of MatchByThresholds; those that are ignored are not taken. random_keys int64 [N].
BoxSample SampleBalanced(const Tensor& matches, const Tensor& random_keys, const SampleOptions& options,
                         Stream& stream);

// int32 [N, count]: the indices of the chosen in ascending order, then -1.
Tensor IndicesOf(const Tensor& chosen, int64_t count, Stream& stream);

}  // namespace trireme

#endif  // TRIREME_MODELS_SAMPLING_BALANCED_SAMPLE_H_

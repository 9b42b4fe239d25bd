// The normalisers of losses: whole numbers, counted on the device over the global batch.
#ifndef TRIREME_MODELS_DETECTION_GLOBAL_COUNT_H_
#define TRIREME_MODELS_DETECTION_GLOBAL_COUNT_H_

#include "core/autograd/context.h"
#include "core/base/status.h"
#include "core/tensor/tensor.h"

namespace trireme {

// The sum of `counts` (float32, whole numbers whose sum is below 2^24, so that it is exact) over all workers, at
// least 1. float32 [1]. Collective, in order of the compute stream; a status of the communicator.
StatusOr<Tensor> GlobalCount(const Context& context, const Tensor& counts);

// The number of images of the global batch, of which this worker has so many.
StatusOr<Tensor> GlobalImages(const Context& context, int64_t mine);

}  // namespace trireme

#endif  // TRIREME_MODELS_DETECTION_GLOBAL_COUNT_H_

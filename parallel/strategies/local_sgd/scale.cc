#include "parallel/strategies/local_sgd/scale.h"

#include "core/device/parallel_for.h"

namespace trireme {

void Scale(const Tensor& values, float by, Stream& stream) {
  if (by == 1.0f) return;
  float* value = values.data<float>();
  ParallelFor(stream, values.size(), [=] TRIREME_HD(int64_t i) { value[i] *= by; });
}

}  // namespace trireme

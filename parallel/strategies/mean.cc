#include "parallel/strategies/mean.h"

#include "core/device/parallel_for.h"

namespace trireme {

void Scale(const Tensor& values, float by, Stream& stream) {
  if (by == 1.0f) return;
  float* value = values.data<float>();
  ParallelFor(stream, values.size(), [=] TRIREME_HD(int64_t i) { value[i] *= by; });
}

void Widen(const Tensor& from, const Tensor& to, Stream& stream) {
  const float* narrow = from.data<float>();
  double* wide = to.data<double>();
  ParallelFor(stream, from.size(), [=] TRIREME_HD(int64_t i) { wide[i] = static_cast<double>(narrow[i]); });
}

void DivideAndNarrow(const Tensor& from, double by, const Tensor& to, Stream& stream) {
  const double* wide = from.data<double>();
  float* narrow = to.data<float>();
  ParallelFor(stream, to.size(), [=] TRIREME_HD(int64_t i) { narrow[i] = static_cast<float>(wide[i] / by); });
}

}  // namespace trireme

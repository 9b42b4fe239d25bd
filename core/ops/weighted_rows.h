// Losses that are weighted sums over rows, each of which a functor defines: those of losses.h, and models' own.
//
//   struct Row {
//     // The loss of row i. Its slopes, too, by the row's elements of the prediction, where `slope`, which lies as the
//     // prediction does, is not null.
//     TRIREME_HD double operator()(int64_t i, float* slope) const;
//   };
//
// Rows live in unnamed namespaces of files that are compiled by cuda_library() (see core/device/parallel_for.h).
#ifndef TRIREME_CORE_OPS_WEIGHTED_ROWS_H_
#define TRIREME_CORE_OPS_WEIGHTED_ROWS_H_

#include <algorithm>

#include "core/autograd/tape.h"
#include "core/ops/sums.h"

namespace trireme::ops {

// sum_i weight[i] * row(i) / normaliser, a scalar [1]. weight [M]; normaliser [1]; prediction float32 of M rows. Rows
// without weight are not asked for. The slopes are made beside the loss, as both need the same logarithms.
template <class Row>
Var WeightedRows(Context& context, const char* name, const Var& prediction, const Row& row, const Tensor& weight,
                 const Tensor& normaliser) {
  CHECK(prediction.value().type() == DataType::kFloat32)
      << "predictions of " << DataTypeName(prediction.value().type()) << " have to be cast first";
  CHECK_EQ(normaliser.size(), 1);
  Device& device = context.device;
  Stream& stream = context.stream();
  const int64_t rows = weight.size(), width = rows > 0 ? prediction.value().size() / rows : 1;
  const Tensor slopes = NeedsGradient(context, {prediction}) ? Tensor::Empty(device, prediction.shape()) : Tensor();
  float* slope = slopes.defined() ? slopes.data<float>() : nullptr;
  const float* w = weight.data<float>();
  const float* n = normaliser.data<float>();
  const Tensor total = OrderedSum(stream, rows, [=] TRIREME_HD(int64_t i) {
    // Rows without weight may hold anything, infinities included.
    return w[i] == 0 ? 0.0 : w[i] * row(i, slope);
  });
  const double* sum = total.data<double>();
  Tensor loss = Tensor::Empty(device, {1});
  float* out = loss.data<float>();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { out[0] = static_cast<float>(sum[0] / n[0]); });

  return Record(context, name, loss, {prediction},
                [&device, prediction, slopes, weight, normaliser, rows, width](Tensor gradient) {
                  float* slope = slopes.data<float>();
                  const float* w = weight.data<float>();
                  const float* n = normaliser.data<float>();
                  const float* g = gradient.data<float>();
                  ParallelFor(
                      device.compute_stream(), rows,
                      [=] TRIREME_HD(int64_t i) {
                        const float factor = g[0] * w[i] / n[0];
                        for (int64_t k = i * width; k < (i + 1) * width; ++k) {
                          slope[k] = w[i] == 0 ? 0.0f : factor * slope[k];
                        }
                      },
                      std::max<int64_t>(1, kParallelGrain / width));
                  prediction.AccumulateGradient(slopes, device.compute_stream());
                });
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_WEIGHTED_ROWS_H_

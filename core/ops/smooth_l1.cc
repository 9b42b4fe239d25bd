#include "core/ops/losses.h"
#include "core/ops/sums.h"

namespace trireme::ops {

Var SmoothL1(Context& context, const Var& prediction, const Tensor& target, const Tensor& weight,
             const Tensor& normaliser, float beta) {
  CHECK_GE(beta, 0);
  CHECK(prediction.value().type() == DataType::kFloat32)
      << "predictions of " << DataTypeName(prediction.value().type()) << " have to be cast first";
  CHECK_EQ(prediction.value().size(), target.size());
  CHECK_EQ(normaliser.size(), 1);
  const int64_t rows = weight.size();
  const int64_t size = target.size();
  if (rows > 0) CHECK_EQ(size % rows, 0) << prediction.shape() << " with " << rows << " weights";
  const int64_t width = rows > 0 ? size / rows : 1;
  Device& device = context.device;
  Stream& stream = context.stream();
  const float* p = prediction.value().data<float>();
  const float* t = target.data<float>();
  const float* w = weight.data<float>();
  const float* n = normaliser.data<float>();
  const Tensor total = OrderedSum(stream, rows, [=] TRIREME_HD(int64_t row) {
    double sum = 0;
    // Rows without weight may hold anything, infinities included.
    if (w[row] == 0) return sum;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      const float x = p[i] - t[i];
      const float distance = x < 0 ? -x : x;
      sum += distance < beta ? distance * distance / (2 * beta) : distance - beta / 2;
    }
    return sum * w[row];
  });
  const double* sum = total.data<double>();
  Tensor loss = Tensor::Empty(device, {1});
  float* out = loss.data<float>();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { out[0] = static_cast<float>(sum[0] / n[0]); });

  return Record(context, "smooth_l1", loss, {prediction},
                [&device, prediction, target, weight, normaliser, beta, rows, width](Tensor gradient) {
                  Tensor dprediction = Tensor::Empty(device, prediction.shape());
                  const float* p = prediction.value().data<float>();
                  const float* t = target.data<float>();
                  const float* w = weight.data<float>();
                  const float* n = normaliser.data<float>();
                  const float* g = gradient.data<float>();
                  float* to = dprediction.data<float>();
                  ParallelFor(
                      device.compute_stream(), rows,
                      [=] TRIREME_HD(int64_t row) {
                        const float factor = g[0] * w[row] / n[0];
                        for (int64_t i = row * width; i < (row + 1) * width; ++i) {
                          const float x = p[i] - t[i];
                          const float slope = x == 0 ? 0.0f : (x <= -beta ? -1.0f : (x >= beta ? 1.0f : x / beta));
                          to[i] = w[row] == 0 ? 0.0f : factor * slope;
                        }
                      },
                      std::max<int64_t>(1, kParallelGrain / width));
                  prediction.AccumulateGradient(std::move(dprediction), device.compute_stream());
                });
}

}  // namespace trireme::ops

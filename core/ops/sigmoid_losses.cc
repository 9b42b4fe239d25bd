#include <cmath>

#include "core/ops/losses.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// sigmoid(z), its complement and its logarithm, none of which loses digits at either end.
struct Sigmoid {
  float value, complement, logarithm;

  TRIREME_HD explicit Sigmoid(float z) {
    const float small = expf(z < 0 ? z : -z);
    const float near_one = 1.0f / (1.0f + small), near_zero = small / (1.0f + small);
    value = z < 0 ? near_zero : near_one;
    complement = z < 0 ? near_one : near_zero;
    logarithm = (z < 0 ? z : 0.0f) - log1pf(small);
  }
};

// The loss of one row; its slopes too, where `slope` is not null.
struct CrossEntropyRow {
  const float* logit;
  const float* target;

  TRIREME_HD double operator()(int64_t row, float* slope) const {
    const float x = logit[row];
    const Sigmoid sigmoid(x);
    if (slope != nullptr) slope[row] = sigmoid.value - target[row];
    // -t log s - (1 - t) log (1 - s), where log (1 - s) = log s - x.
    return (1.0f - target[row]) * x - sigmoid.logarithm;
  }
};

struct FocalRow {
  const float* logit;
  const int32_t* label;
  int64_t classes;
  float alpha, gamma;

  TRIREME_HD double operator()(int64_t row, float* slope) const {
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const bool is_label = label[row] == c + 1;
      const float x = logit[row * classes + c];
      const Sigmoid sigmoid(is_label ? x : -x);  // of what is to be large
      const float miss = sigmoid.complement;
      const float factor = (is_label ? alpha : 1.0f - alpha) * (gamma == 2.0f ? miss * miss : powf(miss, gamma));
      sum -= factor * sigmoid.logarithm;
      if (slope == nullptr) continue;
      const float upward = factor * (gamma * sigmoid.value * sigmoid.logarithm - miss);
      slope[row * classes + c] = is_label ? upward : -upward;
    }
    return sum;
  }
};

// sum_i weight[i] * row(i) / normaliser. The slopes are made beside the loss, as both need the same logarithms.
template <class Row>
Var WeightedRows(Context& context, const char* name, const Var& logits, const Row& row, const Tensor& weight,
                 const Tensor& normaliser) {
  CHECK(logits.value().type() == DataType::kFloat32)
      << "logits of " << DataTypeName(logits.value().type()) << " have to be cast first";
  CHECK_EQ(normaliser.size(), 1);
  Device& device = context.device;
  Stream& stream = context.stream();
  const int64_t rows = weight.size(), width = rows > 0 ? logits.value().size() / rows : 1;
  const Tensor slopes = NeedsGradient(context, {logits}) ? Tensor::Empty(device, logits.shape()) : Tensor();
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

  return Record(context, name, loss, {logits},
                [&device, logits, slopes, weight, normaliser, rows, width](Tensor gradient) {
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
                  logits.AccumulateGradient(slopes, device.compute_stream());
                });
}

}  // namespace

Var BinaryCrossEntropy(Context& context, const Var& logits, const Tensor& target, const Tensor& weight,
                       const Tensor& normaliser) {
  CHECK_EQ(logits.value().size(), weight.size());
  CHECK_EQ(target.size(), weight.size());
  return WeightedRows(context, "binary_cross_entropy", logits,
                      CrossEntropyRow{logits.value().data<float>(), target.data<float>()}, weight, normaliser);
}

Var SigmoidFocalLoss(Context& context, const Var& logits, const Tensor& label, const Tensor& weight,
                     const Tensor& normaliser, float alpha, float gamma) {
  CHECK_GE(gamma, 0);
  const int64_t classes = logits.dim(-1);
  CHECK_EQ(label.size(), weight.size());
  CHECK_EQ(logits.value().size(), weight.size() * classes);
  return WeightedRows(context, "sigmoid_focal_loss", logits,
                      FocalRow{logits.value().data<float>(), label.data<int32_t>(), classes, alpha, gamma}, weight,
                      normaliser);
}

Tensor SigmoidOf(Context& context, const Tensor& logits) {
  CHECK(logits.type() == DataType::kFloat32);
  const Tensor probabilities = Tensor::Empty(context.device, logits.shape());
  const float* z = logits.data<float>();
  float* out = probabilities.data<float>();
  ParallelFor(
      context.stream(), logits.size(), [=] TRIREME_HD(int64_t i) { out[i] = Sigmoid(z[i]).value; }, kParallelGrain / 8);
  return probabilities;
}

}  // namespace trireme::ops

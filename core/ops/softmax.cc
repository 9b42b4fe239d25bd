#include <cmath>

#include "core/ops/losses.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// log sum_c exp(row[c]) in two parts, since their sum would lose digits where logits are large.
struct LogSumExp {
  float highest, rest;

  TRIREME_HD LogSumExp(const float* row, int64_t classes) : highest(row[0]) {
    for (int64_t c = 1; c < classes; ++c) highest = row[c] > highest ? row[c] : highest;
    float sum = 0;
    for (int64_t c = 0; c < classes; ++c) sum += expf(row[c] - highest);
    rest = logf(sum);
  }
  TRIREME_HD LogSumExp(float largest, float of_others) : highest(largest), rest(of_others) {}
  TRIREME_HD float Loss(float logit) const { return rest + (highest - logit); }
  TRIREME_HD float Probability(float logit) const { return expf((logit - highest) - rest); }
};

// The gradient by row and class, so that neighbours in memory are written together; of rows without a weight, which are
// most, only zeros.
struct SoftmaxGradient {
  const float* z;
  const float* sums;  // [rows, 2], of rows with a weight: a LogSumExp
  const int32_t* expected;
  const float* weight;
  const float* gradient;
  const float* normaliser;
  float* to;
  int64_t classes;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const int64_t at = row * classes + c;
    float value[kLanes];
    for (int l = 0; l < kLanes; ++l) value[l] = 0;
    if (weight[row] != 0) {
      const float factor = gradient[0] * weight[row] / normaliser[0];
      const LogSumExp sum(sums[2 * row], sums[2 * row + 1]);
      for (int l = 0; l < kLanes; ++l) {
        value[l] = factor * sum.Probability(z[at + l]) - (c + l == expected[row] ? factor : 0.0f);
      }
    }
    Store<kLanes>(value, to + at);
  }
};

void CheckFloat32(const Tensor& logits) {
  CHECK(logits.type() == DataType::kFloat32) << "logits of " << DataTypeName(logits.type()) << " have to be cast first";
}

int64_t Grain(int64_t classes) { return std::max<int64_t>(1, kParallelGrain / 16 / classes); }

}  // namespace

Var SoftmaxCrossEntropy(Context& context, const Var& logits, const Tensor& label, const Tensor& weight,
                        const Tensor& normaliser) {
  CheckFloat32(logits.value());
  const int64_t classes = logits.dim(-1);
  const int64_t rows = logits.value().size() / classes;
  CHECK_EQ(label.size(), rows);
  CHECK_EQ(weight.size(), rows);
  CHECK_EQ(normaliser.size(), 1);
  Device& device = context.device;
  Stream& stream = context.stream();
  const float* z = logits.value().data<float>();
  const int32_t* expected = label.data<int32_t>();
  const float* w = weight.data<float>();
  const float* n = normaliser.data<float>();
  const Tensor total = OrderedSum(stream, rows, [=] TRIREME_HD(int64_t row) {
    if (w[row] == 0) return 0.0;
    const float* from = z + row * classes;
    return static_cast<double>(w[row]) * LogSumExp(from, classes).Loss(from[expected[row]]);
  });
  const double* sum = total.data<double>();
  Tensor loss = Tensor::Empty(device, {1});
  float* out = loss.data<float>();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { out[0] = static_cast<float>(sum[0] / n[0]); });

  return Record(context, "softmax_cross_entropy", loss, {logits},
                [&device, logits, label, weight, normaliser, rows, classes](Tensor gradient) {
                  Tensor dlogits = Tensor::Empty(device, logits.shape());
                  const float* z = logits.value().data<float>();
                  const int32_t* expected = label.data<int32_t>();
                  const float* w = weight.data<float>();
                  const float* n = normaliser.data<float>();
                  const float* g = gradient.data<float>();
                  float* to = dlogits.data<float>();
                  Stream& stream = device.compute_stream();
                  const Tensor sums = Tensor::Empty(device, {rows, 2});
                  float* of_rows = sums.data<float>();
                  ParallelFor(
                      stream, rows,
                      [=] TRIREME_HD(int64_t row) {
                        if (w[row] == 0) return;
                        const LogSumExp sum(z + row * classes, classes);
                        of_rows[2 * row] = sum.highest;
                        of_rows[2 * row + 1] = sum.rest;
                      },
                      Grain(classes));
                  ForTiles(stream, rows, classes, SoftmaxGradient{z, of_rows, expected, w, g, n, to, classes});
                  logits.AccumulateGradient(std::move(dlogits), stream);
                });
}

Tensor SoftmaxCrossEntropyRows(Context& context, const Tensor& logits, const Tensor& label) {
  CheckFloat32(logits);
  const int64_t classes = logits.dim(-1);
  const int64_t rows = logits.size() / classes;
  CHECK_EQ(label.size(), rows);
  Tensor losses = Tensor::Empty(context.device, {rows});
  const float* z = logits.data<float>();
  const int32_t* expected = label.data<int32_t>();
  float* out = losses.data<float>();
  ParallelFor(
      context.stream(), rows,
      [=] TRIREME_HD(int64_t row) {
        const float* from = z + row * classes;
        out[row] = LogSumExp(from, classes).Loss(from[expected[row]]);
      },
      Grain(classes));
  return losses;
}

Tensor Softmax(Context& context, const Tensor& logits) {
  CheckFloat32(logits);
  const int64_t classes = logits.dim(-1);
  const int64_t rows = logits.size() / classes;
  Tensor probabilities = Tensor::Empty(context.device, logits.shape());
  const float* z = logits.data<float>();
  float* out = probabilities.data<float>();
  ParallelFor(
      context.stream(), rows,
      [=] TRIREME_HD(int64_t row) {
        const float* from = z + row * classes;
        const LogSumExp sum(from, classes);
        for (int64_t c = 0; c < classes; ++c) out[row * classes + c] = sum.Probability(from[c]);
      },
      Grain(classes));
  return probabilities;
}

}  // namespace trireme::ops

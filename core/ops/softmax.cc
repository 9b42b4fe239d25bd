#include <cmath>

#include "core/ops/exponential.h"
#include "core/ops/losses.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// step(.. step(start, row[0]) .., row[width - 1]), in as many parts as a piece has lanes, which `join` makes one of:
// none of them waits for its neighbours.
template <class Step, class Join>
TRIREME_PIECES float ReduceRow(const float* row, int64_t width, float start, const Step& step, const Join& join) {
  using Piece = PieceOf<kPieceLanes>;
  constexpr int kCount = Pieces<kPieceLanes>::kCount;
  Piece parts[kCount];
  for (int p = 0; p < kCount; ++p) parts[p] = Piece{} + start;
  int64_t c = 0;
  for (; c + kPieceLanes <= width; c += kPieceLanes) {
    for (int p = 0; p < kCount; ++p) parts[p] = step(parts[p], PieceAt<kPieceLanes>(row + c, p));
  }
  float lanes[kPieceLanes];
  memcpy(lanes, parts, sizeof lanes);
  float all = lanes[0];
  for (int l = 1; l < kPieceLanes; ++l) all = join(all, lanes[l]);
  for (; c < width; ++c) all = step(all, row[c]);
  return all;
}

TRIREME_HD float LargestOfRow(const float* row, int64_t width) {
  const auto larger = [](auto a, auto b) { return b > a ? b : a; };
  return ReduceRow(row, width, row[0], larger, larger);
}

// log sum_c exp(row[c]) in two parts, since their sum would lose digits where logits are large.
struct LogSumExp {
  float highest, rest;

  TRIREME_HD LogSumExp(const float* row, int64_t classes) : highest(LargestOfRow(row, classes)) {
    const float most = highest;
    const float sum = ReduceRow(
        row, classes, 0.0f, [most](auto so_far, auto z) { return so_far + Exp(z - most); },
        [](float a, float b) { return a + b; });
    rest = logf(sum);
  }
  TRIREME_HD LogSumExp(float largest, float of_others) : highest(largest), rest(of_others) {}
  TRIREME_HD float Loss(float logit) const { return rest + (highest - logit); }
  template <class V>
  TRIREME_PIECES V Probability(V logit) const {
    return Exp((logit - highest) - rest);
  }
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
      for (int p = 0; p < Pieces<kLanes>::kCount; ++p) {
        StorePiece<kLanes>(factor * sum.Probability(PieceAt<kLanes>(z + at, p)), value, p);
      }
      for (int l = 0; l < kLanes; ++l) value[l] -= c + l == expected[row] ? factor : 0.0f;
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
        float* to = out + row * classes;
        int64_t c = 0;
        for (; c + kPieceLanes <= classes; c += kPieceLanes) {
          for (int p = 0; p < Pieces<kPieceLanes>::kCount; ++p) {
            StorePiece<kPieceLanes>(sum.Probability(PieceAt<kPieceLanes>(from + c, p)), to + c, p);
          }
        }
        for (; c < classes; ++c) to[c] = sum.Probability(from[c]);
      },
      Grain(classes));
  return probabilities;
}

}  // namespace trireme::ops

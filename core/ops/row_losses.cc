#include <cmath>

#include "core/ops/losses.h"
#include "core/ops/weighted_rows.h"

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
  int64_t width;

  TRIREME_HD double operator()(int64_t row, float* slope) const {
    double sum = 0;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      const float x = logit[i];
      const Sigmoid sigmoid(x);
      if (slope != nullptr) slope[i] = sigmoid.value - target[i];
      // -t log s - (1 - t) log (1 - s), where log (1 - s) = log s - x.
      sum += (1.0f - target[i]) * x - sigmoid.logarithm;
    }
    return sum;
  }
};

struct SquaredErrorRow {
  const float* prediction;
  const float* target;
  int64_t width;

  TRIREME_HD double operator()(int64_t row, float* slope) const {
    double sum = 0;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      const float difference = prediction[i] - target[i];
      if (slope != nullptr) slope[i] = difference;
      sum += 0.5f * difference * difference;
    }
    return sum;
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

// Elements of a row.
int64_t WidthOf(const Var& prediction, const Tensor& target, const Tensor& weight) {
  const int64_t size = prediction.value().size(), width = weight.size() > 0 ? size / weight.size() : 1;
  CHECK_EQ(size, weight.size() * width) << prediction.shape() << " with weights " << weight.shape();
  CHECK_EQ(size, target.size()) << prediction.shape() << " with targets " << target.shape();
  return width;
}

}  // namespace

Var BinaryCrossEntropy(Context& context, const Var& logits, const Tensor& target, const Tensor& weight,
                       const Tensor& normaliser) {
  const int64_t width = WidthOf(logits, target, weight);
  return WeightedRows(context, "binary_cross_entropy", logits,
                      CrossEntropyRow{logits.value().data<float>(), target.data<float>(), width}, weight, normaliser);
}

Var SquaredError(Context& context, const Var& prediction, const Tensor& target, const Tensor& weight,
                 const Tensor& normaliser) {
  const int64_t width = WidthOf(prediction, target, weight);
  return WeightedRows(context, "squared_error", prediction,
                      SquaredErrorRow{prediction.value().data<float>(), target.data<float>(), width}, weight,
                      normaliser);
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

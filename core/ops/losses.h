// Losses. Targets and weights are constants; the normaliser is a tensor of one element on the device, so
// that it may be the result of a reduction over workers without a read-back.
//
// Everything is float32: with 16-bit activations, models cast what goes into a loss (ops::Cast).
#ifndef TRIREME_CORE_OPS_LOSSES_H_
#define TRIREME_CORE_OPS_LOSSES_H_

#include "core/autograd/tape.h"

namespace trireme::ops {

// sum_i weight[i] * sum_d smooth_l1(prediction[i, d] - target[i, d]) / normaliser, a scalar [1].
// smooth_l1(x) = x^2 / (2 beta) for |x| < beta, else |x| - beta / 2. Girshick: Fast R-CNN, 2015 (equation 3). With a
// beta of 0 it is |x|, whose slope at 0 is 0.
// prediction, target [M, D]; weight [M]; normaliser [1].
Var SmoothL1(Context& context, const Var& prediction, const Tensor& target, const Tensor& weight,
             const Tensor& normaliser, float beta = 1.0f);

// sum_i weight[i] * -log softmax(logits[i])[label[i]] / normaliser, a scalar [1]. logits [M, C]; label int32 [M],
// ignored where weight is 0; weight [M]; normaliser [1].
Var SoftmaxCrossEntropy(Context& context, const Var& logits, const Tensor& label, const Tensor& weight,
                        const Tensor& normaliser);

// -log softmax(logits[i])[label[i]] for every row, [M]; no gradient. What hard negative mining sorts.
Tensor SoftmaxCrossEntropyRows(Context& context, const Tensor& logits, const Tensor& label);

// sum_i weight[i] * sum_d (prediction[i, d] - target[i, d])^2 / 2 / normaliser, a scalar [1], whose slope is the
// difference. prediction, target [M, D]; weight [M]; normaliser [1].
Var SquaredError(Context& context, const Var& prediction, const Tensor& target, const Tensor& weight,
                 const Tensor& normaliser);

// sum_i weight[i] * sum_d (-t log s - (1 - t) log(1 - s)) / normaliser, where s = sigmoid(logits[i, d]), t = target[i,
// d] in [0, 1]. A scalar [1]. logits, target [M, D], or of M elements; weight [M]; normaliser [1]. Of rows without
// weight neither is read.
Var BinaryCrossEntropy(Context& context, const Var& logits, const Tensor& target, const Tensor& weight,
                       const Tensor& normaliser);

// sum_i weight[i] * sum_c -a (1 - p)^gamma log p / normaliser, a scalar [1], where for the class of the label p =
// sigmoid(logits[i, c]) and a = alpha, for the others p = 1 - sigmoid and a = 1 - alpha. Lin, Goyal, Girshick, He,
// Dollar: Focal Loss for Dense Object Detection, ICCV 2017 (equation 5). logits [M, C]; label int32 [M]: 1 + the class,
// 0 is the background, which has no logit; weight [M]; normaliser [1].
Var SigmoidFocalLoss(Context& context, const Var& logits, const Tensor& label, const Tensor& weight,
                     const Tensor& normaliser, float alpha = 0.25f, float gamma = 2.0f);

// 1 / (1 + exp(-x)) of every element, no gradient.
Tensor SigmoidOf(Context& context, const Tensor& logits);

// Rows of softmax(logits), no gradient: [M, C].
Tensor Softmax(Context& context, const Tensor& logits);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_LOSSES_H_

// Losses. Targets and weights are constants; the normaliser is a tensor of one element on the device, so
// that it may be the result of a reduction over workers without a read-back.
//
// Everything is float32: with 16-bit activations, models cast what goes into a loss (ops::Cast).
#ifndef TRIREME_CORE_OPS_LOSSES_H_
#define TRIREME_CORE_OPS_LOSSES_H_

#include "core/autograd/tape.h"

namespace trireme::ops {

// sum_i weight[i] * sum_d smooth_l1(prediction[i, d] - target[i, d]) / normaliser, a scalar [1].
// smooth_l1(x) = x^2 / (2 beta) for |x| < beta, else |x| - beta / 2. Girshick: Fast R-CNN, 2015 (equation 3).
// prediction, target [M, D]; weight [M]; normaliser [1].
Var SmoothL1(Context& context, const Var& prediction, const Tensor& target, const Tensor& weight,
             const Tensor& normaliser, float beta = 1.0f);

// sum_i weight[i] * -log softmax(logits[i])[label[i]] / normaliser, a scalar [1]. logits [M, C]; label int32 [M],
// ignored where weight is 0; weight [M]; normaliser [1].
Var SoftmaxCrossEntropy(Context& context, const Var& logits, const Tensor& label, const Tensor& weight,
                        const Tensor& normaliser);

// -log softmax(logits[i])[label[i]] for every row, [M]; no gradient. What hard negative mining sorts.
Tensor SoftmaxCrossEntropyRows(Context& context, const Tensor& logits, const Tensor& label);

// Rows of softmax(logits), no gradient: [M, C].
Tensor Softmax(Context& context, const Tensor& logits);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_LOSSES_H_

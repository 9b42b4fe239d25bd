// Normalisation over the channels of [N, H, W, C]: activations of float32, bfloat16 or float16; parameters, statistics
// and arithmetic in float32.
#ifndef TRIREME_CORE_OPS_NORM_H_
#define TRIREME_CORE_OPS_NORM_H_

#include "core/autograd/tape.h"
#include "core/ops/activation.h"

namespace trireme::ops {

enum class BatchNormMode {
  kFrozen,        // running statistics always; they do not change
  kPerWorker,     // statistics of this worker's share
  kSynchronized,  // statistics of the global batch, through context.communicator
};

struct BatchNormOptions {
  BatchNormMode mode = BatchNormMode::kSynchronized;
  float epsilon = 1e-5f;
  float momentum = 0.1f;                      // running = (1 - momentum) running + momentum batch, as torch's
  Activation activation = Activation::kNone;  // at the end, fused
};

// What a batch norm holds, [C] each.
struct BatchNormState {
  Var gamma, beta;
  Tensor running_mean, running_variance;  // updated in training
};

// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta [+ residual] [then the activation]. Ioffe, Szegedy 2015.
// x, residual (or undefined) [N, H, W, C]. The running variance is the unbiased one, as torch's. Statistics are summed
// in float64 partial sums of a fixed order; so are their gradients, of runs of 8 rows that are summed in float32. With
// a residual, the activation is none, kRelu or kLeakyRelu.
Var BatchNorm(Context& context, const Var& x, const BatchNormState& state, const Var& residual,
              const BatchNormOptions& options);

struct GroupNormOptions {
  int groups = 32;  // divides the channels
  float epsilon = 1e-5f;
  Activation activation = Activation::kNone;  // at the end, fused
};

// The same with mean and variance of each image and each group of neighbouring channels, in training and outside of it,
// so that images have nothing to do with one another. Wu, He: Group Normalization, 2018.
Var GroupNorm(Context& context, const Var& x, const Var& gamma, const Var& beta, const Var& residual,
              const GroupNormOptions& options);

// y = x / ||x|| * scale, the norm taken over the channels of each place: SSD's conv4_3 (Liu, Rabinovich, Berg:
// ParseNet, 2015). scale [C].
Var L2Normalize(Context& context, const Var& x, const Var& scale, float epsilon = 1e-12f);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_NORM_H_

// Norms and activations over rows of a map, for bands that lie in the core's own cache (bands.h). On CPU, in float32;
// compiled for each kind of CPU. Results of two kinds differ by rounding. Private to core/ops.
#ifndef TRIREME_CORE_OPS_NORM_KERNELS_H_
#define TRIREME_CORE_OPS_NORM_KERNELS_H_

#include <cstdint>

#include "core/ops/conv_norm_passes.h"
#include "core/ops/has_avx512.h"
#include "core/ops/row_layout.h"

namespace trireme::ops {

// Of a source that is behind a norm, but for `read`: its scale is not null.
struct NormKernels {
  // Writes rows [begin, end) of the source, as the convolution reads them, laid out at `to`; behind a norm with a
  // residual (or null), whose rows are the source's, added before the activation.
  void (*read)(const ConvSource& source, const float* residual, int64_t channels, int64_t begin, int64_t end, float* to,
               const RowLayout& layout);
  // Writes rows [begin, end) of the gradient of a convolution's output, laid out at `to`, and those of the residual's.
  void (*write_gradient)(const ConvGradient& g, int64_t channels, int64_t begin, int64_t end, float* to,
                         const RowLayout& layout);
  // Adds what the source's norm needs of its gradient, `gradient` scaled by image, over rows [begin, end): float64 [2,
  // channels].
  void (*add_gradient_moments)(const ConvSource& source, const float* gradient, const ImageScale& by_image,
                               int64_t channels, int64_t begin, int64_t end, double* sums);
  // Adds the sums of the source before its gate, times `gradient` unless that is null: float64 [channels].
  void (*add_products)(const ConvSource& source, const float* gradient, int64_t channels, int64_t begin, int64_t end,
                       double* sums);
  // Adds the sums of what rows [begin, end) of x are above `base` [channels], and of its squares: float64 [2,
  // channels]. With a base near the values' mean float32 is enough for a few at a time.
  void (*add_moments)(const float* x, const float* base, int64_t channels, int64_t begin, int64_t end, double* sums);
};

extern const NormKernels kNormKernels, kNormKernelsAvx512;

// By the widest vectors that this CPU has.
inline const NormKernels& WidestNormKernels() { return HasAvx512() ? kNormKernelsAvx512 : kNormKernels; }

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_NORM_KERNELS_H_

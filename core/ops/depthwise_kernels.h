// Inner loops of depthwise convolutions for bands of rows (depthwise_conv_norm.cc), on CPU in float32; compiled for
// each kind of CPU. Neighbouring places of a result are computed together, so that each value of a source is read once
// for all taps that it is multiplied with. Sources lie with zeros around them, so that no tap needs to be left out.
// Results of two kinds of CPU differ by rounding. Private to core/ops.
#ifndef TRIREME_CORE_OPS_DEPTHWISE_KERNELS_H_
#define TRIREME_CORE_OPS_DEPTHWISE_KERNELS_H_

#include <cstdint>

#include "core/ops/has_avx512.h"
#include "core/ops/row_layout.h"

namespace trireme::ops {

// Rows of places that gather from a source, whose rows are laid out as LineRows. Steps are in floats.
struct GatherRows {
  const float* from;     // of the first place's first tap, in the first row
  int64_t from_line;     // as RowLayout has it
  int64_t from_row;      // from a row of the image to the next
  int64_t from_next;     // from what a row of the result reads first to what the next does
  const float* filters;  // [filter_rows, taps, channels]
  int64_t filter_rows;
  int64_t taps, up;  // of each row: 1, 2, 3 or 5, and places of the source from one of the result to its next
  int64_t channels;
  int64_t rows, places;  // of the result
  float* to;
  int64_t to_row, to_place;
  // Sums of what the results are above those at `base`, which is the first place of all, and of the squares of that:
  // float64 [2, channels], added to. Null: none.
  double* sums;
  const float* base;
};

// The gradients of filters from places of rows of the output. Input and gradient are laid out as LineRows.
struct FilterGradient {
  const float* input;  // of the first place's first tap
  int64_t input_line, input_row;
  const float* gradient;  // of the first place
  int64_t gradient_line, gradient_row;
  int64_t rows, places;    // of the output
  int64_t kernel, stride;  // 3 or 5; 1 or 2
  int64_t channels;
  double* sums;  // [kernel, kernel, channels], added to
};

struct DepthwiseKernels {
  void (*gather)(const GatherRows& g);
  void (*add_filter_gradient)(const FilterGradient& f);
};

extern const DepthwiseKernels kDepthwiseKernels, kDepthwiseKernelsAvx512;

// By the widest vectors that this CPU has.
inline const DepthwiseKernels& WidestDepthwiseKernels() {
  return HasAvx512() ? kDepthwiseKernelsAvx512 : kDepthwiseKernels;
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_DEPTHWISE_KERNELS_H_

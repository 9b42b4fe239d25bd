// Products of rows with the filters of 1x1 convolutions, for bands of rows (pointwise_conv_norm.cc), on CPU in float32;
// compiled for each kind of CPU. While they compute they ask for the memory that is to be read next, so that it comes
// when arithmetic, not memory, is the limit: a library's product cannot be told of it. Filters are packed once for all
// bands. Results of two kinds of CPU differ by rounding. Private to core/ops.
#ifndef TRIREME_CORE_OPS_PRODUCT_KERNELS_H_
#define TRIREME_CORE_OPS_PRODUCT_KERNELS_H_

#include <cstdint>

#include "core/ops/has_avx512.h"

namespace trireme::ops {

// Memory that is read soon; none if `floats` is 0.
struct NextRead {
  const float* from = nullptr;
  int64_t floats = 0;
};

// to [rows, outputs] = from [rows, inputs] filters^T.
struct RowProducts {
  const float* from;
  const float* filters;  // as `pack` writes them
  float* to;             // overwritten
  int64_t rows, inputs, outputs;
  NextRead next[3];
};

struct ProductKernels {
  // What `pack` writes.
  int64_t (*packed_floats)(int64_t inputs, int64_t outputs);
  // Of filters [outputs, inputs], whose elements lie `of_output` and `of_input` floats apart.
  void (*pack)(const float* filters, int64_t of_output, int64_t of_input, int64_t inputs, int64_t outputs, float* to);
  void (*multiply)(const RowProducts& p);
};

extern const ProductKernels kProductKernels, kProductKernelsAvx512;

// By the widest vectors that this CPU has.
inline const ProductKernels& WidestProductKernels() { return HasAvx512() ? kProductKernelsAvx512 : kProductKernels; }

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_PRODUCT_KERNELS_H_

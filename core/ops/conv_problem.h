// What a GPU's library is asked to compute for one pass of a convolution, and its name in the file of engine choices.
// Private to core/ops.
#ifndef TRIREME_CORE_OPS_CONV_PROBLEM_H_
#define TRIREME_CORE_OPS_CONV_PROBLEM_H_

#include <array>
#include <string>

#include "core/ops/conv_shape.h"
#include "core/tensor/tensor.h"

namespace trireme::ops {

// Operands and result are of one type; sums are float32.
struct ConvProblem {
  ConvShape shape;
  ConvPass pass;
  DataType type;
  bool bias = false;  // of the forward pass
  bool relu = false;
  bool tf32 = false;  // float32 operands may be rounded to TF32
};

// All that tells problems apart.
using ConvKey = std::array<int64_t, 18>;
ConvKey KeyOf(const ConvProblem& problem);

// The same in words: "forward bfloat16 bias relu: [32, 75, 75, 128] by 256 of 3x3x128, stride 1, ...".
std::string Describe(const ConvProblem& problem);

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_CONV_PROBLEM_H_

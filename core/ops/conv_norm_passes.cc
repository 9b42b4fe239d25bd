#include "core/ops/conv_norm_passes.h"

#include "core/ops/depthwise_conv.h"
#include "core/ops/product_conv_cpu.h"

namespace trireme::ops {
namespace {

// What mobile networks have.
bool HasDepthwisePasses(const ConvShape& s) {
  const bool is_known = s.kernel_height == s.kernel_width && (s.kernel_width == 3 || s.kernel_width == 5);
  return IsDepthwise(s) && is_known && s.stride <= 2 && s.dilation == 1;
}

}  // namespace

const ConvNormPasses* FindConvNormPasses(const ConvShape& shape) {
  if (IsProduct(shape)) return &kPointwiseConvNorm;
  return HasDepthwisePasses(shape) ? &kDepthwiseConvNorm : nullptr;
}

}  // namespace trireme::ops

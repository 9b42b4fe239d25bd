#include "core/ops/conv_norm_passes.h"

#include "core/ops/depthwise_conv.h"

namespace trireme::ops {
namespace {

bool IsPointwise(const ConvShape& s) {
  return s.groups == 1 && s.kernel_height == 1 && s.kernel_width == 1 && s.stride == 1 && s.padding == 0;
}

}  // namespace

const ConvNormPasses* FindConvNormPasses(const ConvShape& shape) {
  if (IsPointwise(shape)) return &kPointwiseConvNorm;
  return IsDepthwise(shape) ? &kDepthwiseConvNorm : nullptr;
}

}  // namespace trireme::ops

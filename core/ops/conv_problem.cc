#include "core/ops/conv_problem.h"

#include "absl/strings/str_cat.h"

namespace trireme::ops {
namespace {

const char* PassName(ConvPass pass) {
  switch (pass) {
    case ConvPass::kForward:
      return "forward";
    case ConvPass::kBackwardData:
      return "backward data";
    case ConvPass::kBackwardWeights:
      return "backward weights";
  }
  return "?";
}

}  // namespace

ConvKey KeyOf(const ConvProblem& p) {
  const ConvShape& s = p.shape;
  return {s.batch,        s.in_height,
          s.in_width,     s.in_channels,
          s.out_height,   s.out_width,
          s.out_channels, s.kernel_height,
          s.kernel_width, s.stride,
          s.padding,      s.dilation,
          s.groups,       static_cast<int64_t>(p.pass),
          p.bias,         p.relu,
          p.tf32,         static_cast<int64_t>(p.type)};
}

std::string Describe(const ConvProblem& p) {
  const ConvShape& s = p.shape;
  return absl::StrCat(PassName(p.pass), " ", DataTypeName(p.type), p.tf32 ? " tf32" : "", p.bias ? " bias" : "",
                      p.relu ? " relu" : "", ": [", s.batch, ", ", s.in_height, ", ", s.in_width, ", ", s.in_channels,
                      "] to [", s.out_height, ", ", s.out_width, ", ", s.out_channels, "], ", s.kernel_height, "x",
                      s.kernel_width, ", stride ", s.stride, ", padding ", s.padding, ", dilation ", s.dilation,
                      ", groups ", s.groups);
}

}  // namespace trireme::ops

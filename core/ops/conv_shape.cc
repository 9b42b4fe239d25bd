#include "core/ops/conv_shape.h"

#include <glog/logging.h>

namespace trireme::ops {
namespace {

int64_t OutputExtent(int64_t in, int64_t kernel, const ConvOptions& o) {
  return (in + 2 * o.padding - o.dilation * (kernel - 1) - 1) / o.stride + 1;
}

}  // namespace

ConvShape ShapeOf(const Shape& input, const Shape& weight, const ConvOptions& o) {
  CHECK_EQ(input.rank(), 4) << input;
  CHECK_EQ(weight.rank(), 4) << weight;
  ConvShape s;
  s.batch = input[0];
  s.in_height = input[1];
  s.in_width = input[2];
  s.in_channels = input[3];
  s.out_channels = weight[0];
  s.kernel_height = weight[1];
  s.kernel_width = weight[2];
  s.stride = o.stride;
  s.padding = o.padding;
  s.dilation = o.dilation;
  s.groups = o.groups;
  CHECK_EQ(s.in_channels % s.groups, 0) << input << " in " << o.groups << " groups";
  CHECK_EQ(s.out_channels % s.groups, 0) << weight << " in " << o.groups << " groups";
  CHECK_EQ(s.in_channels, weight[3] * s.groups) << "input " << input << ", weight " << weight;
  s.out_height = OutputExtent(s.in_height, s.kernel_height, o);
  s.out_width = OutputExtent(s.in_width, s.kernel_width, o);
  CHECK(s.out_height > 0 && s.out_width > 0) << weight << " filters do not fit " << input;
  return s;
}

}  // namespace trireme::ops

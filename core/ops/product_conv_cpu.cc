#include "core/ops/product_conv_cpu.h"

#include <algorithm>

#include "core/device/parallel_for.h"
#include "core/ops/conv_cpu.h"
#include "core/tensor/tensor.h"

namespace trireme::ops {
namespace {

int64_t PlacesOf(const ConvShape& s) { return s.batch * s.out_height * s.out_width; }

}  // namespace

bool IsProduct(const ConvShape& s) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.groups == 1 && s.stride == 1 && s.padding == 0;
}

void ProductBackwardData(Device& device, const ConvShape& shape, const float* output_gradient, const float* weight,
                         float* input_gradient) {
  const int64_t in = shape.in_channels, out = shape.out_channels, places = PlacesOf(shape);
  // So many that threads have work, and so few that it does not matter that each makes its own copy of the filters.
  const int64_t part = std::max<int64_t>(256, (places + 15) / 16);
  HostParallelFor(
      device.compute_stream(), (places + part - 1) / part,
      [=](int64_t i) {
        const int64_t begin = i * part, end = std::min(places, begin + part);
        MatmulCpu(false, false, end - begin, in, out, output_gradient + begin * out, weight, 0,
                  input_gradient + begin * in);
      },
      1);
}

void ProductBackwardWeights(Device& device, const ConvShape& shape, const float* input, const float* output_gradient,
                            float* weight_gradient) {
  const int64_t in = shape.in_channels, out = shape.out_channels, places = PlacesOf(shape), size = in * out;
  // Each has a sum for every weight.
  const int64_t most = std::clamp<int64_t>(places / 512, 1, 8), part = (places + most - 1) / most;
  const int64_t parts = (places + part - 1) / part;
  const Tensor partial = parts > 1 ? Tensor::Empty(device, {parts, size}) : Tensor();
  float* sums = parts > 1 ? partial.data<float>() : weight_gradient;
  Stream& stream = device.compute_stream();
  HostParallelFor(
      stream, parts,
      [=](int64_t i) {
        const int64_t begin = i * part, end = std::min(places, begin + part);
        MatmulCpu(true, false, out, in, end - begin, output_gradient + begin * out, input + begin * in, 0,
                  sums + i * size);
      },
      1);
  if (parts == 1) return;
  HostParallelFor(stream, size, [=](int64_t at) {
    float sum = 0;
    for (int64_t i = 0; i < parts; ++i) sum += sums[i * size + at];
    weight_gradient[at] = sum;
  });
}

}  // namespace trireme::ops

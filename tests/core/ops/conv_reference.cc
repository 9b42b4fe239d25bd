#include "tests/core/ops/conv_reference.h"

namespace trireme::testing {
namespace {

// Calls visit(output, weight, input) with the offsets of every product of the convolution.
template <class Visit>
void ForProducts(const ops::ConvShape& s, const Visit& visit) {
  const int64_t in_group = s.in_channels / s.groups, out_group = s.out_channels / s.groups;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t oy = 0; oy < s.out_height; ++oy) {
      for (int64_t ox = 0; ox < s.out_width; ++ox) {
        for (int64_t o = 0; o < s.out_channels; ++o) {
          const int64_t output = ((n * s.out_height + oy) * s.out_width + ox) * s.out_channels + o;
          for (int64_t ky = 0; ky < s.kernel_height; ++ky) {
            for (int64_t kx = 0; kx < s.kernel_width; ++kx) {
              const int64_t y = oy * s.stride - s.padding + ky * s.dilation;
              const int64_t x = ox * s.stride - s.padding + kx * s.dilation;
              if (y < 0 || y >= s.in_height || x < 0 || x >= s.in_width) continue;
              for (int64_t i = 0; i < in_group; ++i) {
                const int64_t weight = ((o * s.kernel_height + ky) * s.kernel_width + kx) * in_group + i;
                const int64_t input =
                    ((n * s.in_height + y) * s.in_width + x) * s.in_channels + o / out_group * in_group + i;
                visit(output, weight, input);
              }
            }
          }
        }
      }
    }
  }
}

int64_t OutputSize(const ops::ConvShape& s) { return s.batch * s.out_height * s.out_width * s.out_channels; }

}  // namespace

ops::ConvShape MakeConvShape(int64_t batch, int64_t height, int64_t width, int64_t in_channels, int64_t out_channels,
                             int64_t kernel, int64_t stride, int64_t padding, int64_t dilation, int64_t groups) {
  const auto extent = [&](int64_t in) { return (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1; };
  return {batch,  height, width,  in_channels, extent(height), extent(width), out_channels,
          kernel, kernel, stride, padding,     dilation,       groups};
}

std::vector<double> ReferenceForward(const ops::ConvShape& shape, const std::vector<float>& input,
                                     const std::vector<float>& weight) {
  std::vector<double> output(OutputSize(shape), 0.0);
  ForProducts(shape, [&](int64_t o, int64_t w, int64_t i) { output[o] += static_cast<double>(weight[w]) * input[i]; });
  return output;
}

std::vector<double> ReferenceBackwardData(const ops::ConvShape& shape, const std::vector<float>& output_gradient,
                                          const std::vector<float>& weight) {
  std::vector<double> gradient(shape.batch * shape.in_height * shape.in_width * shape.in_channels, 0.0);
  ForProducts(shape, [&](int64_t o, int64_t w, int64_t i) {
    gradient[i] += static_cast<double>(weight[w]) * output_gradient[o];
  });
  return gradient;
}

std::vector<double> ReferenceBackwardWeights(const ops::ConvShape& shape, const std::vector<float>& input,
                                             const std::vector<float>& output_gradient) {
  std::vector<double> gradient(
      shape.out_channels * shape.kernel_height * shape.kernel_width * (shape.in_channels / shape.groups), 0.0);
  ForProducts(shape, [&](int64_t o, int64_t w, int64_t i) {
    gradient[w] += static_cast<double>(input[i]) * output_gradient[o];
  });
  return gradient;
}

}  // namespace trireme::testing

#include "core/ops/depthwise_conv.h"

#include <algorithm>

#include "core/ops/depthwise_bodies.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// [channels, taps] of any type to float32 [taps, channels].
template <class T>
struct TransposeFilters {
  const T* from;
  float* to;
  int64_t taps, channels;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t tap, int64_t c) const {
    for (int l = 0; l < kLanes; ++l) to[tap * channels + c + l] = ToFloat(from[(c + l) * taps + tap]);
  }
};

template <class T>
void TransposeBack(const double* sums, const Tensor& gradient, int64_t taps, bool accumulate, Stream& stream) {
  T* to = gradient.data<T>();
  const int64_t channels = gradient.size() / taps;
  ParallelFor(stream, gradient.size(), [=] TRIREME_HD(int64_t i) {
    const Division at(i, taps);
    const float sum = static_cast<float>(sums[at.rest * channels + at.quotient]);
    to[i] = FromFloat<T>(accumulate ? ToFloat(to[i]) + sum : sum);
  });
}

int64_t TapsOf(const ConvShape& s) { return s.kernel_height * s.kernel_width; }

// A thread of a GPU takes a short strip, so that there are many; the CPU's take whole rows.
int64_t StripOf(Stream& stream, int64_t places) {
  return stream.device().kind() == DeviceKind::kCuda ? kRun : std::max<int64_t>(1, places);
}

struct Sides {
  int64_t height, width;
};

template <class T>
void RunGather(const ConvShape& s, const Tensor& source, const Sides& from, const Tensor& weight, const Tensor& bias,
               bool relu, const Axis& axis, const Tensor& result, const Sides& to) {
  Stream& stream = result.device().compute_stream();
  const Tensor transposed = TransposedFilters(s, weight, stream);
  const int64_t places = (to.width + axis.down - 1) / axis.down, strip = StripOf(stream, places);
  const Gather<T> gather{source.data<T>(),
                         transposed.data<float>(),
                         bias.defined() ? bias.data<T>() : nullptr,
                         result.data<T>(),
                         relu,
                         from.height,
                         from.width,
                         to.height,
                         to.width,
                         s.groups,
                         axis,
                         static_cast<int>(s.kernel_height),
                         static_cast<int>(s.kernel_width),
                         strip,
                         (places + strip - 1) / strip};
  ForTiles(stream, gather.Rows(s.batch), s.groups, gather);
}

template <class T, int kTaps>
Tensor SumFilters(const ConvShape& s, const Tensor& input, const Tensor& output_gradient, Stream& stream) {
  // Enough blocks for all threads, and rows for sums that are worth their place in memory.
  const bool on_cuda = stream.device().kind() == DeviceKind::kCuda;
  const int64_t most_blocks = on_cuda ? 1024 : 64, least_places = on_cuda ? 64 : 512;
  const int64_t rows = s.batch * s.out_height;
  const int64_t block_rows =
      std::max((rows + most_blocks - 1) / most_blocks, (least_places + s.out_width - 1) / s.out_width);
  const int64_t blocks = (rows + block_rows - 1) / block_rows, width = TapsOf(s) * s.groups;
  const Tensor partial = Tensor::Empty(stream.device(), {blocks, width}, DataType::kFloat64);
  const FilterSums<T, kTaps> sums{input.data<T>(),
                                  output_gradient.data<T>(),
                                  partial.data<double>(),
                                  s.in_height,
                                  s.in_width,
                                  s.out_height,
                                  s.out_width,
                                  s.groups,
                                  rows,
                                  block_rows,
                                  s.stride,
                                  s.padding,
                                  s.dilation,
                                  static_cast<int>(s.kernel_height),
                                  static_cast<int>(s.kernel_width)};
  ForTiles(stream, blocks * s.kernel_height * (s.kernel_width / kTaps), s.groups, sums);
  return partial;
}

template <class T>
Tensor SumFilters(const ConvShape& s, const Tensor& input, const Tensor& output_gradient, Stream& stream) {
  switch (s.kernel_width) {
    case 3:
      return SumFilters<T, 3>(s, input, output_gradient, stream);
    case 5:
      return SumFilters<T, 5>(s, input, output_gradient, stream);
    default:
      return SumFilters<T, 1>(s, input, output_gradient, stream);
  }
}

}  // namespace

Tensor TransposedFilters(const ConvShape& s, const Tensor& weight, Stream& stream) {
  Tensor transposed = Tensor::Empty(stream.device(), {TapsOf(s), s.groups});
  DispatchFloating(weight.type(), [&](auto element) {
    using T = decltype(element);
    ForTiles(stream, TapsOf(s), s.groups,
             TransposeFilters<T>{weight.data<T>(), transposed.data<float>(), TapsOf(s), s.groups});
  });
  return transposed;
}

void FiltersFromSums(const ConvShape& s, const Tensor& partial, bool accumulate, const Tensor& weight_gradient,
                     Stream& stream) {
  const int64_t width = TapsOf(s) * s.groups;
  const Tensor sums = ColumnSums<1>(stream, partial.size() / width, width, SumPartials{partial.data<double>(), width});
  DispatchFloating(weight_gradient.type(), [&](auto element) {
    TransposeBack<decltype(element)>(sums.data<double>(), weight_gradient, TapsOf(s), accumulate, stream);
  });
}

void DepthwiseForward(const ConvShape& s, const Tensor& input, const Tensor& weight, const Tensor& bias, bool relu,
                      const Tensor& output) {
  DispatchFloating(output.type(), [&](auto element) {
    RunGather<decltype(element)>(s, input, {s.in_height, s.in_width}, weight, bias, relu, ForwardAxis(s), output,
                                 {s.out_height, s.out_width});
  });
}

void DepthwiseBackwardData(const ConvShape& s, const Tensor& output_gradient, const Tensor& weight,
                           const Tensor& input_gradient) {
  DispatchFloating(input_gradient.type(), [&](auto element) {
    RunGather<decltype(element)>(s, output_gradient, {s.out_height, s.out_width}, weight, Tensor(), false,
                                 BackwardAxis(s), input_gradient, {s.in_height, s.in_width});
  });
}

void DepthwiseBackwardWeights(const ConvShape& s, const Tensor& input, const Tensor& output_gradient, bool accumulate,
                              const Tensor& weight_gradient) {
  Stream& stream = input.device().compute_stream();
  Tensor partial;
  DispatchFloating(input.type(),
                   [&](auto element) { partial = SumFilters<decltype(element)>(s, input, output_gradient, stream); });
  FiltersFromSums(s, partial, accumulate, weight_gradient, stream);
}

}  // namespace trireme::ops

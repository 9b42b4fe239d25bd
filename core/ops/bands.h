// Loops over bands of rows for conv_norm_passes.h. Private to core/ops.
#ifndef TRIREME_CORE_OPS_BANDS_H_
#define TRIREME_CORE_OPS_BANDS_H_

#include <algorithm>

#include "core/ops/conv_norm_passes.h"
#include "core/ops/normalize.h"
#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// Calls body(unit, scratch) for all units; those that a thread works off share `scratch_floats` floats.
template <class Body>
void ForUnits(Stream& stream, int64_t units, int64_t scratch_floats, const Body& body) {
  const int64_t threads = std::min<int64_t>(stream.device().threads(), units);
  const int64_t size = (scratch_floats + kTileLanes - 1) / kTileLanes * kTileLanes;
  const Tensor scratch = Tensor::Empty(stream.device(), {threads, size});
  float* memory = scratch.data<float>();
  HostParallelFor(
      stream, threads,
      [=](int64_t thread) {
        for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; ++unit) {
          body(unit, memory + thread * size);
        }
      },
      1);
}

// All channels of rows [begin, end), for a body with Tile. All rows of some channels, then of the next, as those of
// neighbouring rows read much of the same.
template <class Body>
void RunTiles(const Body& body, int64_t begin, int64_t end, int64_t channels) {
  int64_t c = 0;
  for (; c + kTileLanes <= channels; c += kTileLanes) {
    for (int64_t row = begin; row < end; ++row) body.template Tile<kTileLanes>(row, c);
  }
  for (; c + kHalfTileLanes <= channels; c += kHalfTileLanes) {
    for (int64_t row = begin; row < end; ++row) body.template Tile<kHalfTileLanes>(row, c);
  }
  for (; c < channels; ++c) {
    for (int64_t row = begin; row < end; ++row) body.template Tile<1>(row, c);
  }
}

// All channels of rows [begin, end), for a body with Rows: as many rows at once as the nearest cache holds.
template <class Body>
void RunRows(const Body& body, int64_t begin, int64_t end, int64_t channels) {
  const int64_t group = std::max<int64_t>(4, std::min<int64_t>(64, 4096 / channels));
  for (; begin < end; begin += group) {
    const int64_t stop = std::min(end, begin + group);
    int64_t c = 0;
    for (; c + kPieceLanes <= channels; c += kPieceLanes) body.template Rows<kPieceLanes>(begin, stop, c);
    for (; c < channels; ++c) body.template Rows<1>(begin, stop, c);
  }
}

// The sums of both, [units, 2, channels], over the units: [2, channels].
inline Tensor TotalOfUnits(Stream& stream, const Tensor& partial, int64_t units, int64_t channels) {
  return ColumnSums<1>(stream, units, 2 * channels, SumPartials{partial.data<double>(), 2 * channels});
}

// Writes rows [begin, end) of the source, as the convolution reads them, where row `begin` lies at `to`.
inline void ReadRows(const ConvSource& source, int64_t channels, int64_t begin, int64_t end, float* to) {
  RunRows(Normalize<float, false>{source.data, nullptr, source.scale, source.shift, to - begin * channels,
                                  source.activation, end, channels},
          begin, end, channels);
}

// Writes rows [begin, end) of the gradient of a convolution's output, where row `begin` lies at `to`, and those of the
// residual's.
inline void WriteGradient(const ConvGradient& g, int64_t channels, int64_t begin, int64_t end, float* to) {
  const GradientBefore<float> before{g.gradient, g.y, g.scale, g.shift, g.activation};
  RunRows(
      Backpropagate<float, false>{before, g.x, g.scale, g.b, g.d, to - begin * channels, g.of_residual, end, channels},
      begin, end, channels);
}

// What the source's norm needs of its gradient, over rows [begin, end).
inline void AddGradientMoments(const ConvSource& source, const float* gradient, int64_t channels, int64_t begin,
                               int64_t end, double* sums) {
  const GradientBefore<float> before{gradient, nullptr, source.scale, source.shift, source.activation};
  SumRows<2>(GradientMoments<float, false>{before, source.data, source.mean, source.inverse_deviation, end, channels},
             begin, end, channels, sums);
}

}  // namespace
}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_BANDS_H_

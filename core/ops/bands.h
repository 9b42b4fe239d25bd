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

// Rows of a map, in blocks that have partial sums of their own: their number depends on that of the rows alone.
inline int64_t RowBlocksOf(int64_t rows) {
  const int64_t size = internal::RowsOfBlock(rows);
  return std::max<int64_t>(1, (rows + size - 1) / size);
}

// Calls body(block, begin, end) for each.
template <class Body>
void ForRowBlocks(Stream& stream, int64_t rows, const Body& body) {
  const int64_t size = internal::RowsOfBlock(rows);
  HostParallelFor(
      stream, RowBlocksOf(rows), [=](int64_t block) { body(block, block * size, std::min(rows, (block + 1) * size)); },
      1);
}

// The sums of both, [units, 2, channels], over the units: [2, channels].
inline Tensor TotalOfUnits(Stream& stream, const Tensor& partial, int64_t units, int64_t channels) {
  return ColumnSums<1>(stream, units, 2 * channels, SumPartials{partial.data<double>(), 2 * channels});
}

// From sums of what `rows` values are above `base` [channels] and of the squares of that, to those of the values and
// their squares.
inline void MoveBase(const float* base, int64_t rows, int64_t channels, double* sums) {
  for (int64_t c = 0; c < channels; ++c) {
    const double by = base[c], above = sums[c];
    sums[c] += static_cast<double>(rows) * by;
    sums[channels + c] += by * (2 * above + static_cast<double>(rows) * by);
  }
}

}  // namespace
}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_BANDS_H_

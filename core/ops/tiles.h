// Loops over the rows and channels of an NHWC tensor, and sums over its rows. Private to core/ops.
//
// A body handles kLanes neighbouring channels of one row. CPU runs it with kLanes = 16, so that its loop over
// lanes becomes vector instructions, and with 1 for the channels that are left; CUDA runs it with 1, so that
// neighbouring threads read neighbouring addresses. Bodies are functors in unnamed namespaces (see
// parallel_for.h) of files compiled by cuda_library().
#ifndef TRIREME_CORE_OPS_TILES_H_
#define TRIREME_CORE_OPS_TILES_H_

#include <algorithm>

#include "core/device/parallel_for.h"
#include "core/tensor/tensor.h"

namespace trireme::ops {

inline constexpr int kTileLanes = 16;

// Calls body.Tile<kLanes>(row, channel) so that every channel of every row is covered exactly once.
template <class Body>
void ForTiles(Stream& stream, int64_t rows, int64_t channels, const Body& body) {
  if (rows <= 0 || channels <= 0) return;
  if (stream.device().kind() == DeviceKind::kCuda) {
    ParallelFor(stream, rows * channels,
                [=] TRIREME_HD(int64_t i) { body.template Tile<1>(i / channels, i % channels); });
    return;
  }
  // A long row is cut too, so that few rows still occupy all threads.
  const int64_t piece = 64 * kTileLanes;
  const int64_t pieces = (channels + piece - 1) / piece;
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / std::min(channels, piece));
  ParallelFor(
      stream, rows * pieces,
      [=] TRIREME_HD(int64_t i) {
        const int64_t row = i / pieces;
        int64_t c = i % pieces * piece;
        const int64_t end = c + piece < channels ? c + piece : channels;
        for (; c + kTileLanes <= end; c += kTileLanes) body.template Tile<kTileLanes>(row, c);
        for (; c < end; ++c) body.template Tile<1>(row, c);
      },
      grain);
}

// Rows are summed in blocks, whose number depends on the number of rows alone.
inline int64_t RowsOfBlock(int64_t rows) { return std::max<int64_t>(32, (rows + 255) / 256); }

namespace internal {

template <int kSums, class Body>
struct SumTile {
  Body body;
  int64_t channels;

  // Adds rows [begin, end) to the kSums x channels values at `to`.
  template <int kLanes>
  TRIREME_HD void Run(int64_t begin, int64_t end, int64_t c, double* to) const {
    double sums[kSums * kLanes];
    for (int k = 0; k < kSums; ++k) {
      for (int l = 0; l < kLanes; ++l) sums[k * kLanes + l] = to[k * channels + c + l];
    }
    for (int64_t row = begin; row < end; ++row) body.template Tile<kLanes>(row, c, sums);
    for (int k = 0; k < kSums; ++k) {
      for (int l = 0; l < kLanes; ++l) to[k * channels + c + l] = sums[k * kLanes + l];
    }
  }
};

}  // namespace internal

// Sums over rows for every channel, kSums values at once: body.Tile<kLanes>(row, channel, sums) adds to sums[k
// * kLanes + lane]. Float64, and in an order that depends neither on the number of threads nor on the device's
// schedule. Returns float64 [kSums, channels], stored as int64.
template <int kSums, class Body>
Tensor ColumnSums(Stream& stream, int64_t rows, int64_t channels, const Body& body) {
  const int64_t block_rows = RowsOfBlock(rows);
  const int64_t blocks = std::max<int64_t>(1, (rows + block_rows - 1) / block_rows);
  const int64_t width = kSums * channels;
  Tensor partial = Tensor::Zeros(stream.device(), {blocks, width}, DataType::kInt64);
  double* sums = static_cast<double*>(partial.raw());
  const internal::SumTile<kSums, Body> tile{body, channels};
  if (stream.device().kind() == DeviceKind::kCuda) {
    ParallelFor(stream, blocks * channels, [=] TRIREME_HD(int64_t i) {
      const int64_t block = i / channels;
      const int64_t end = (block + 1) * block_rows;
      tile.template Run<1>(block * block_rows, end < rows ? end : rows, i % channels, sums + block * width);
    });
  } else {
    ParallelFor(
        stream, blocks,
        [=] TRIREME_HD(int64_t block) {
          // A few rows at a time, so that memory is read in long runs and sums stay in the nearest cache.
          const int64_t group = 8;
          const int64_t stop = (block + 1) * block_rows < rows ? (block + 1) * block_rows : rows;
          for (int64_t begin = block * block_rows; begin < stop; begin += group) {
            const int64_t end = begin + group < stop ? begin + group : stop;
            int64_t c = 0;
            double* to = sums + block * width;
            for (; c + kTileLanes <= channels; c += kTileLanes) tile.template Run<kTileLanes>(begin, end, c, to);
            for (; c < channels; ++c) tile.template Run<1>(begin, end, c, to);
          }
        },
        1);
  }
  Tensor total = Tensor::Empty(stream.device(), {kSums, channels}, DataType::kInt64);
  double* out = static_cast<double*>(total.raw());
  ParallelFor(stream, width, [=] TRIREME_HD(int64_t i) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += sums[block * width + i];
    out[i] = sum;
  });
  return total;
}

// The sum of body(i) for 0 <= i < n: float64, in a fixed order. Returns one float64, stored as int64.
template <class Body>
Tensor OrderedSum(Stream& stream, int64_t n, const Body& body) {
  const int64_t block_size = std::max<int64_t>(256, (n + 1023) / 1024);
  const int64_t blocks = (n + block_size - 1) / block_size;
  Tensor partial = Tensor::Empty(stream.device(), {std::max<int64_t>(1, blocks)}, DataType::kInt64);
  double* sums = static_cast<double*>(partial.raw());
  ParallelFor(
      stream, blocks,
      [=] TRIREME_HD(int64_t block) {
        const int64_t end = (block + 1) * block_size < n ? (block + 1) * block_size : n;
        double sum = 0;
        for (int64_t i = block * block_size; i < end; ++i) sum += body(i);
        sums[block] = sum;
      },
      16);
  Tensor total = Tensor::Empty(stream.device(), {1}, DataType::kInt64);
  double* out = static_cast<double*>(total.raw());
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += sums[block];
    out[0] = sum;
  });
  return total;
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_TILES_H_

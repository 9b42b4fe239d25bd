// Sums over the rows of a [rows, channels] array, and over flat arrays. Private to core/ops.
//
// Partial sums are float64, in an order that depends on the extents alone: neither on the number of threads nor on the
// device's schedule. CPU and CUDA have orders of their own, so that their sums agree to float64's rounding, or, where
// CUDA adds up runs of kShortRun elements in float32 first (bodies with an Element, see tiles.h), to about 1e-7 of the
// sum of absolute values: GPUs other than the largest are slow at float64.
//
// Likewise a body that has
//   static constexpr bool kFloatTerms = true;  // what it adds is rounded to float32 anyway
// is added up in float32 on CPU for runs of 8 rows.
//
// A body has a member template Tile<kLanes>(row, channel, sums), which adds to sums[k * kLanes + lane] of kSums *
// kLanes; `sums` is a double*, or, if the body has an Element, a template's pointer to double or float. It may have
// Rows<kLanes>(begin, end, channel, sums) as well, which CPU then calls for several rows; and CUDA too, of a body with
// kAlikeRows (see tiles.h), with a step between rows as a last argument.
#ifndef TRIREME_CORE_OPS_SUMS_H_
#define TRIREME_CORE_OPS_SUMS_H_

#include "core/device/block.h"
#include "core/tensor/tensor.h"
#include "core/tensor/tiles.h"

namespace trireme::ops {
namespace internal {

// Rows are summed in blocks, whose number depends on the number of rows alone.
inline int64_t RowsOfBlock(int64_t rows) { return std::max<int64_t>(32, (rows + 255) / 256); }

template <class Body, class = void>
struct HasFloatTerms : std::false_type {};
template <class Body>
struct HasFloatTerms<Body, std::enable_if_t<Body::kFloatTerms>> : std::true_type {};

// Whether it has Rows<kLanes>(begin, end, channel, sums) for several rows.
template <class Body, class = void>
struct HasRows : std::false_type {};
template <class Body>
struct HasRows<Body,
               std::void_t<decltype(std::declval<const Body&>().template Rows<1>(0, 0, 0, std::declval<double*>()))>>
    : std::true_type {};

template <int kSums, class Body>
struct HostSumTile {
  Body body;
  int64_t channels;

  // Adds rows [begin, end) to the kSums x channels values at `to`.
  template <int kLanes>
  void Run(int64_t begin, int64_t end, int64_t c, double* to) const {
    using Sum = std::conditional_t<HasFloatTerms<Body>::value, float, double>;
    Sum sums[kSums * kLanes];
    for (int v = 0; v < kSums * kLanes; ++v) sums[v] = 0;
    if constexpr (HasRows<Body>::value) {
      body.template Rows<kLanes>(begin, end, c, sums);
    } else {
      for (int64_t row = begin; row < end; ++row) body.template Tile<kLanes>(row, c, sums);
    }
    for (int k = 0; k < kSums; ++k) {
      for (int l = 0; l < kLanes; ++l) to[k * channels + c + l] += sums[k * kLanes + l];
    }
  }
};

}  // namespace internal

// CPU's: adds rows [begin, end) to the kSums x channels values at `to`. A few rows at a time, so that memory is read in
// long runs and sums stay in the nearest cache.
template <int kSums, class Body>
void SumRows(const Body& body, int64_t begin, int64_t end, int64_t channels, double* to) {
  const internal::HostSumTile<kSums, Body> tile{body, channels};
  const int64_t group = 8;
  for (; begin < end; begin += group) {
    const int64_t stop = begin + group < end ? begin + group : end;
    int64_t c = 0;
    if constexpr (!internal::HasRows<Body>::value) {
      for (; c + kTileLanes <= channels; c += kTileLanes) tile.template Run<kTileLanes>(begin, stop, c, to);
    }
    for (; c + kHalfTileLanes <= channels; c += kHalfTileLanes) tile.template Run<kHalfTileLanes>(begin, stop, c, to);
    for (; c < channels; ++c) tile.template Run<1>(begin, stop, c, to);
  }
}

// How many float32 additions in a row CUDA does before it goes on in float64.
inline constexpr int kShortRun = 16;

// How blocks of threads sum columns: each takes `block_rows` rows of `width` groups of lanes, its threads every
// height-th of these rows, and adds up what its threads have found as a binary tree.
struct SumGrid {
  static constexpr int kThreads = 256;

  // At most `most_width` wide, and at most about `most_blocks` blocks.
  SumGrid(int64_t rows, int64_t groups, int most_width, int64_t most_blocks) {
    while (width < most_width && width < groups) width *= 2;
    height = kThreads / width;
    channel_blocks = (groups + width - 1) / width;
    // A thread that adds up fewer than 4 rows is not worth its share of the tree.
    row_blocks = std::min((rows + 4 * height - 1) / (4 * height), most_blocks / channel_blocks);
    row_blocks = std::max<int64_t>(1, row_blocks);
    block_rows = (rows + row_blocks - 1) / row_blocks;
  }

  int width = 1, height;  // powers of two
  int64_t channel_blocks, row_blocks, block_rows;
};

// The work of one block (see core/device/block.h), whose kThreads places are walked by however many threads it has.
// The lowest places lie along the channels. `Short` is what runs of kShortRun rows are added up in.
template <int kSums, int kLanes, class Short, class Body, class Out>
struct BlockOfSums {
  static constexpr int kThreads = SumGrid::kThreads;
  static constexpr int kValues = kSums * kLanes;
  struct Shared {
    double sums[kValues][kThreads];
  };

  Body body;
  int64_t rows, channels, channel_blocks, block_rows;
  int width;
  Out out;  // of [row blocks, kSums, channels]

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared& shared, int64_t i) const {
    const Division which(i, channel_blocks);
    const int64_t row_block = which.quotient, first = which.rest * width;
    for (int place = block.rank(); place < kThreads; place += block.size()) Gather(first, row_block, place, shared);
    for (int stride = kThreads / 2; stride >= width; stride /= 2) {
      block.Sync();
      for (int place = block.rank(); place < stride; place += block.size()) {
        for (int v = 0; v < kValues; ++v) shared.sums[v][place] += shared.sums[v][place + stride];
      }
    }
    block.Sync();
    for (int place = block.rank(); place < width; place += block.size()) {
      const int64_t c = (first + place) * kLanes;
      if (c >= channels) continue;
      for (int k = 0; k < kSums; ++k) {
        for (int l = 0; l < kLanes; ++l) {
          out.Put((row_block * kSums + k) * channels + c + l, shared.sums[k * kLanes + l][place]);
        }
      }
    }
  }

  TRIREME_HD void Gather(int64_t first, int64_t row_block, int place, Shared& shared) const {
    // In the block's memory rather than in registers, of which float64 takes two each: runs are added seldom.
    for (int v = 0; v < kValues; ++v) shared.sums[v][place] = 0;
    const int64_t c = (first + place % width) * kLanes;
    if (c < channels) {
      const int height = kThreads / width;
      const int64_t end = (row_block + 1) * block_rows < rows ? (row_block + 1) * block_rows : rows;
      int64_t row = row_block * block_rows + place / width;
      while (row < end) {
        const int64_t reach = row + static_cast<int64_t>(kShortRun) * height;
        const int64_t stop = reach < end ? reach : end;
        Short run[kValues];
        for (int v = 0; v < kValues; ++v) run[v] = 0;
        if constexpr (trireme::internal::HasAlikeRows<Body>::value) {
          body.template Rows<kLanes>(row, stop, c, run, height);
        } else {
#ifdef __CUDA_ARCH__
#pragma unroll 4
#endif
          for (int64_t at = row; at < stop; at += height) body.template Tile<kLanes>(at, c, run);
        }
        row = reach;
        for (int v = 0; v < kValues; ++v) shared.sums[v][place] += run[v];
      }
    }
  }
};

// Each file its own: nvcc and g++ compile the same template to different functions of one name, of which the linker
// keeps one.
namespace {

// The partial sums of blocks, for a last pass over them: rows of doubles.
struct SumPartials {
  const double* partial;
  int64_t width;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    for (int l = 0; l < kLanes; ++l) sums[l] += partial[row * width + c + l];
  }
};

// Where sums go: Put(i, sum) takes the i-th of [kSums, channels].
struct DoublePlace {
  double* to;
  TRIREME_HD void Put(int64_t i, double sum) const { to[i] = sum; }
};

}  // namespace

// CUDA's half of ColumnSumsInto; runs on CPU too, for tests.
template <int kSums, int kLanes, class Short, class Body, class Out>
void SumByBlocks(Stream& stream, int64_t rows, int64_t channels, const Body& body, const Out& out) {
  const auto sum = [&stream](const SumGrid& grid, auto block) {
    ForBlocks<SumGrid::kThreads>(stream, grid.row_blocks * grid.channel_blocks, block);
  };
  const SumGrid grid(rows, (channels + kLanes - 1) / kLanes, /*most_width=*/32, /*most_blocks=*/2048);
  if (grid.row_blocks == 1) {
    sum(grid, BlockOfSums<kSums, kLanes, Short, Body, Out>{body, rows, channels, grid.channel_blocks, grid.block_rows,
                                                           grid.width, out});
    return;
  }
  const int64_t width = kSums * channels;
  const Tensor partial = Tensor::Empty(stream.device(), {grid.row_blocks, width}, DataType::kFloat64);
  double* sums = partial.data<double>();
  sum(grid, BlockOfSums<kSums, kLanes, Short, Body, DoublePlace>{
                body, rows, channels, grid.channel_blocks, grid.block_rows, grid.width, {sums}});
  // Narrow and high, for few partial sums a thread; one block of rows, for the end.
  const SumGrid last(grid.row_blocks, width, /*most_width=*/4, /*most_blocks=*/1);
  sum(last, BlockOfSums<1, 1, double, SumPartials, Out>{
                {sums, width}, grid.row_blocks, width, last.channel_blocks, last.block_rows, last.width, out});
}

// For every channel the sums over rows of kSums values, which go to `out`.
template <int kSums, class Body, class Out>
void ColumnSumsInto(Stream& stream, int64_t rows, int64_t channels, const Body& body, const Out& out) {
  if (channels == 0) return;
#ifdef __CUDACC__
  if (stream.device().kind() == DeviceKind::kCuda) {
    using Wide = trireme::internal::WideBody<Body>;
    using Short = std::conditional_t<Wide::kHasElement, float, double>;
    if (channels % Wide::kLanes == 0 && Wide::IsAligned(body)) {
      SumByBlocks<kSums, Wide::kLanes, Short>(stream, rows, channels, body, out);
    } else {
      SumByBlocks<kSums, 1, Short>(stream, rows, channels, body, out);
    }
    return;
  }
#endif
  const int64_t block_rows = internal::RowsOfBlock(rows);
  const int64_t blocks = std::max<int64_t>(1, (rows + block_rows - 1) / block_rows);
  const int64_t width = kSums * channels;
  Tensor partial = Tensor::Zeros(stream.device(), {blocks, width}, DataType::kFloat64);
  double* sums = partial.data<double>();
  HostParallelFor(
      stream, blocks,
      [=](int64_t block) {
        const int64_t stop = (block + 1) * block_rows < rows ? (block + 1) * block_rows : rows;
        SumRows<kSums>(body, block * block_rows, stop, channels, sums + block * width);
      },
      1);
  HostParallelFor(stream, width, [=](int64_t i) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += sums[block * width + i];
    out.Put(i, sum);
  });
}

// The same as a tensor, float64 [kSums, channels].
template <int kSums, class Body>
Tensor ColumnSums(Stream& stream, int64_t rows, int64_t channels, const Body& body) {
  Tensor total = Tensor::Empty(stream.device(), {kSums, channels}, DataType::kFloat64);
  ColumnSumsInto<kSums>(stream, rows, channels, body, DoublePlace{total.data<double>()});
  return total;
}

// Adds up `chunk` rows at a time of images that have `places` each.
template <int kSums, class Body>
struct SumOfChunk {
  Body body;
  int64_t places, chunk, chunks, channels;
  double* to;  // [images, chunks, kSums, channels]

  template <int kLanes>
  TRIREME_HD void Tile(int64_t i, int64_t c) const {
    const Division which(i, chunks);
    const int64_t begin = which.rest * chunk, end = begin + chunk < places ? begin + chunk : places;
    double sums[kSums * kLanes];
    for (int v = 0; v < kSums * kLanes; ++v) sums[v] = 0;
    for (int64_t place = begin; place < end; ++place) {
      body.template Tile<kLanes>(which.quotient * places + place, c, sums);
    }
    for (int k = 0; k < kSums; ++k) {
      for (int l = 0; l < kLanes; ++l) to[(i * kSums + k) * channels + c + l] = sums[k * kLanes + l];
    }
  }
};

// For every image of `places` rows, and every channel, the sums over its rows of kSums values. Returns float64 [images,
// kSums, channels]. The order of addition is the same on all devices.
template <int kSums, class Body>
Tensor ImageSums(Stream& stream, int64_t images, int64_t places, int64_t channels, const Body& body) {
  const int64_t chunk = std::max<int64_t>(32, (places + 63) / 64);
  const int64_t chunks = std::max<int64_t>(1, (places + chunk - 1) / chunk);
  const int64_t width = kSums * channels;
  const Tensor partial = Tensor::Empty(stream.device(), {images, chunks, kSums, channels}, DataType::kFloat64);
  ForTiles(stream, images * chunks, channels,
           SumOfChunk<kSums, Body>{body, places, chunk, chunks, channels, partial.data<double>()});
  if (chunks == 1) return partial.Reshape({images, kSums, channels});
  Tensor total = Tensor::Empty(stream.device(), {images, kSums, channels}, DataType::kFloat64);
  const double* from = partial.data<double>();
  double* to = total.data<double>();
  ParallelFor(stream, images * width, [=] TRIREME_HD(int64_t i) {
    const Division which(i, width);
    double sum = 0;
    for (int64_t k = 0; k < chunks; ++k) sum += from[(which.quotient * chunks + k) * width + which.rest];
    to[i] = sum;
  });
  return total;
}

// A body for OrderedSum, as one channel.
template <class Body>
struct SumOfItems {
  Body body;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t, double* sums) const {
    sums[0] += body(row);
  }
};

// The sum of body(i) for 0 <= i < n. Returns one float64.
template <class Body>
Tensor OrderedSum(Stream& stream, int64_t n, const Body& body) {
#ifdef __CUDACC__
  if (stream.device().kind() == DeviceKind::kCuda) {
    return ColumnSums<1>(stream, n, 1, SumOfItems<Body>{body}).Reshape({1});
  }
#endif
  const int64_t block_size = std::max<int64_t>(256, (n + 1023) / 1024);
  const int64_t blocks = (n + block_size - 1) / block_size;
  Tensor partial = Tensor::Empty(stream.device(), {std::max<int64_t>(1, blocks)}, DataType::kFloat64);
  double* sums = partial.data<double>();
  HostParallelFor(
      stream, blocks,
      [=](int64_t block) {
        const int64_t end = (block + 1) * block_size < n ? (block + 1) * block_size : n;
        double sum = 0;
        for (int64_t i = block * block_size; i < end; ++i) sum += body(i);
        sums[block] = sum;
      },
      16);
  Tensor total = Tensor::Empty(stream.device(), {1}, DataType::kFloat64);
  double* out = total.data<double>();
  HostParallelFor(stream, 1, [=](int64_t) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += sums[block];
    out[0] = sum;
  });
  return total;
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_SUMS_H_

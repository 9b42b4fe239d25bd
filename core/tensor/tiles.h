// Loops over rows of channels: the pixels of an NHWC tensor, the rows of a matrix, or a flat array as one row.
//
// A body is a functor with a member template `Tile<kLanes>(row, channel)`, which handles kLanes neighbouring channels
// of one row. CPU runs it with kLanes = 16, so that its loops over lanes become vector instructions, and with 8 and 1
// for the channels that are left. CUDA runs it with 1, or, for a body that has
//   using Element = T;               // of the arrays that matter
//   bool IsAligned() const;          // AreAligned(all of its arrays)
// and whose rows allow it, with 16 bytes of T, the widest access there is, which Load and Store then make. A body that
// reads the same for every row may have
//   static constexpr bool kAlikeRows = true;
//   template <int kLanes> void Rows(int64_t begin, int64_t end, int64_t channel, int64_t step) const;
// which CUDA then calls for rows begin, begin + step, ..., so that it is read once.
//
// Bodies live in unnamed namespaces (see parallel_for.h) of files compiled by cuda_library().
#ifndef TRIREME_CORE_TENSOR_TILES_H_
#define TRIREME_CORE_TENSOR_TILES_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/device/parallel_for.h"
#include "core/tensor/floating.h"

namespace trireme {

inline constexpr int kTileLanes = 16, kHalfTileLanes = kTileLanes / 2;

// How many elements CUDA moves at once.
template <class T>
inline constexpr int kWideLanes = 16 / static_cast<int>(sizeof(T));

// Whether CUDA may move 16 bytes at once from these on. Null is aligned.
template <class... Pointers>
bool AreAligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

namespace internal {

template <class T, int kLanes>
struct alignas(sizeof(T) * kLanes < 16 ? sizeof(T) * kLanes : 16) Packed {
  T lane[kLanes];
  TRIREME_HD T operator[](int l) const { return lane[l]; }
};

template <class T, int kLanes>
struct PackedFloats {
  Packed<T, kLanes> packed;
  TRIREME_HD float operator[](int l) const { return ToFloat(packed.lane[l]); }
};

// Writes what two float32 values round to. GPUs round two to 16 bits at once.
#ifdef __CUDACC__
template <class T>
TRIREME_HD inline void StorePair(float first, float second, T* to) {
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, bfloat16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    memcpy(to, &pair, sizeof pair);
    return;
  }
  if constexpr (std::is_same_v<T, float16>) {
    const __half2 pair = __floats2half2_rn(first, second);
    memcpy(to, &pair, sizeof pair);
    return;
  }
#endif
  to[0] = FromFloat<T>(first);
  to[1] = FromFloat<T>(second);
}
#endif

template <class T>
struct FloatView {
  const T* from;
  TRIREME_HD float operator[](int l) const { return ToFloat(from[l]); }
};

// Whether it has Rows for rows that are alike.
template <class Body, class = void>
struct HasAlikeRows : std::false_type {};
template <class Body>
struct HasAlikeRows<Body, std::enable_if_t<Body::kAlikeRows>> : std::true_type {};

// The lanes of a body on CUDA.
template <class Body, class = void>
struct WideBody {
  static constexpr bool kHasElement = false;
  static constexpr int kLanes = 1;
  static bool IsAligned(const Body&) { return true; }
};
template <class Body>
struct WideBody<Body, std::void_t<typename Body::Element>> {
  static constexpr bool kHasElement = true;
  static constexpr int kLanes = kWideLanes<typename Body::Element>;
  static bool IsAligned(const Body& body) { return body.IsAligned(); }
};

}  // namespace internal

// Load<kLanes>(from)[lane] are kLanes elements as float32, LoadRaw<kLanes>(from)[lane] the elements as they are. On
// CUDA they are read here, in as few accesses as can be: `from` is a multiple of kLanes elements away from an aligned
// address. On CPU they are read where they are used, since the compiler makes vector instructions of loops over arrays
// that it makes of no copies: nothing may be stored over them before.
template <int kLanes, class T>
TRIREME_HD inline auto Load(const T* from) {
#ifdef __CUDA_ARCH__
  return internal::PackedFloats<T, kLanes>{*reinterpret_cast<const internal::Packed<T, kLanes>*>(from)};
#else
  return internal::FloatView<T>{from};
#endif
}

template <int kLanes, class T>
TRIREME_HD inline auto LoadRaw(const T* from) {
#ifdef __CUDA_ARCH__
  return *reinterpret_cast<const internal::Packed<T, kLanes>*>(from);
#else
  return from;
#endif
}

// Stores what float32 values round to, or elements as they are, in the same way. `from` is an array or what Load gave.
template <int kLanes, class Floats, class T>
TRIREME_HD inline void Store(const Floats& from, T* to) {
#ifdef __CUDA_ARCH__
  internal::Packed<T, kLanes> packed;
  if constexpr (kLanes % 2 == 0) {
    for (int l = 0; l < kLanes; l += 2) internal::StorePair(from[l], from[l + 1], packed.lane + l);
  } else {
    for (int l = 0; l < kLanes; ++l) packed.lane[l] = FromFloat<T>(from[l]);
  }
  *reinterpret_cast<internal::Packed<T, kLanes>*>(to) = packed;
#else
  for (int l = 0; l < kLanes; ++l) to[l] = FromFloat<T>(from[l]);
#endif
}

template <int kLanes, class Elements, class T>
TRIREME_HD inline void StoreRaw(const Elements& from, T* to) {
#ifdef __CUDA_ARCH__
  internal::Packed<T, kLanes> packed;
  for (int l = 0; l < kLanes; ++l) packed.lane[l] = from[l];
  *reinterpret_cast<internal::Packed<T, kLanes>*>(to) = packed;
#else
  for (int l = 0; l < kLanes; ++l) to[l] = from[l];
#endif
}

// `value` where `condition` holds, else 0. A function, so that `value` is read either way: of loads under a condition
// GCC 12 makes masked ones, and where lanes fill two vectors it may load both by the mask of the first.
TRIREME_HD inline float Where(bool condition, float value) { return condition ? value : 0.0f; }

// value / by and value % by, of numbers that are not negative. GPUs divide 32 bits many times faster than 64.
struct Division {
  int64_t quotient, rest;

  TRIREME_HD Division(int64_t value, int64_t by) {
#ifdef __CUDA_ARCH__
    if (((value | by) >> 32) == 0) {
      quotient = static_cast<uint32_t>(value) / static_cast<uint32_t>(by);
      rest = static_cast<uint32_t>(value) % static_cast<uint32_t>(by);
      return;
    }
#endif
    quotient = value / by;
    rest = value % by;
  }
};

// How a CUDA kernel lays threads over rows of `groups` of lanes: thread blocks of width x height, so that neighbouring
// threads are neighbours in memory and no index has to be divided.
struct TileGrid {
  static constexpr int kThreads = 256;
  static constexpr int64_t kMostRowBlocks = 65535;  // CUDA's limit of a grid's second dimension

  // At most about `most_blocks`, where threads go on to further rows.
  TileGrid(int64_t rows, int64_t groups, int64_t most_blocks) {
    while (width < 32 && width < groups) width *= 2;
    // Too few rows for the height: further along the channels.
    while (width < kThreads && rows <= kThreads / width / 2) width *= 2;
    height = kThreads / width;
    channel_blocks = (groups + width - 1) / width;
    row_blocks =
        std::min({kMostRowBlocks, (rows + height - 1) / height, std::max<int64_t>(1, most_blocks / channel_blocks)});
  }

  int width = 1, height;  // powers of two
  int64_t channel_blocks, row_blocks;
};

#ifdef __CUDACC__
namespace internal {

template <int kLanes, class Body>
__global__ void __launch_bounds__(TileGrid::kThreads) TilesKernel(int64_t rows, int64_t channels, Body body) {
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kLanes;
  if (c >= channels) return;
  const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.y;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y;
  if constexpr (HasAlikeRows<Body>::value) {
    if (c + kLanes <= channels) {
      body.template Rows<kLanes>(first, rows, c, step);
      return;
    }
  }
  for (int64_t row = first; row < rows; row += step) {
    if (c + kLanes <= channels) {
      body.template Tile<kLanes>(row, c);
    } else {
      for (int64_t rest = c; rest < channels; ++rest) body.template Tile<1>(row, rest);
    }
  }
}

template <int kLanes, class Body>
void LaunchTiles(Stream& stream, int64_t rows, int64_t channels, const Body& body) {
  // Enough to occupy any GPU several times over; more would read what rows have in common more often.
  constexpr int64_t kMostBlocks = HasAlikeRows<Body>::value ? 4096 : int64_t{1} << 31;
  const TileGrid grid(rows, (channels + kLanes - 1) / kLanes, kMostBlocks);
  TilesKernel<kLanes>
      <<<dim3(static_cast<unsigned>(grid.channel_blocks), static_cast<unsigned>(grid.row_blocks)),
         dim3(grid.width, grid.height), 0, static_cast<cudaStream_t>(stream.native())>>>(rows, channels, body);
  CheckLaunch();
}

}  // namespace internal
#endif

// Calls body.Tile<kLanes>(row, channel) so that every channel of every row is covered exactly once.
template <class Body>
void ForTiles(Stream& stream, int64_t rows, int64_t channels, const Body& body) {
  if (rows <= 0 || channels <= 0) return;
#ifdef __CUDACC__
  if (stream.device().kind() == DeviceKind::kCuda) {
    using Wide = internal::WideBody<Body>;
    // What is left of a row would set the next one off its alignment.
    if ((rows == 1 || channels % Wide::kLanes == 0) && Wide::IsAligned(body)) {
      internal::LaunchTiles<Wide::kLanes>(stream, rows, channels, body);
    } else {
      internal::LaunchTiles<1>(stream, rows, channels, body);
    }
    return;
  }
#endif
  // A long row is cut too, so that few rows still occupy all threads.
  const int64_t piece = 64 * kTileLanes;
  const int64_t pieces = (channels + piece - 1) / piece;
  const int64_t grain = std::max<int64_t>(1, kParallelGrain / std::min(channels, piece));
  HostParallelFor(
      stream, rows * pieces,
      [=](int64_t i) {
        const int64_t row = i / pieces;
        int64_t c = i % pieces * piece;
        const int64_t end = c + piece < channels ? c + piece : channels;
        for (; c + kTileLanes <= end; c += kTileLanes) body.template Tile<kTileLanes>(row, c);
        for (; c + kHalfTileLanes <= end; c += kHalfTileLanes) body.template Tile<kHalfTileLanes>(row, c);
        for (; c < end; ++c) body.template Tile<1>(row, c);
      },
      grain);
}

}  // namespace trireme

#endif  // TRIREME_CORE_TENSOR_TILES_H_

#include "core/ops/winograd_cpu.h"

#include <algorithm>
#include <cstring>

#include "core/device/parallel_for.h"
#include "core/tensor/tensor.h"

namespace trireme::ops {
namespace {

constexpr int kLanes = 16;
constexpr int kTile = 4;    // outputs along a side
constexpr int kWindow = 6;  // inputs along a side
constexpr int kPlaces = kWindow * kWindow;
constexpr float kP = 0.625f, kQ = 1.5f;
constexpr float kP2 = kP * kP, kQ2 = kQ * kQ, kP3 = kP2 * kP, kQ3 = kQ2 * kQ;
constexpr float kAtZero = 1 / (kP2 * kQ2), kAtP = 1 / (2 * kP2 * (kP2 - kQ2)), kAtQ = 1 / (2 * kQ2 * (kQ2 - kP2));

// 16 channels of one place.
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

// `count` of them, the rest are zeros.
inline void Load(Lanes& to, const float* from, int64_t count) {
  if (count >= kLanes) {
    std::memcpy(&to, from, sizeof(Lanes));
  } else {
    to = Lanes{};
    std::memcpy(&to, from, count * sizeof(float));
  }
}

inline void Store(float* to, const Lanes& from, int64_t count) {
  std::memcpy(to, &from, std::min<int64_t>(count, kLanes) * sizeof(float));
}

// The transforms along one side; `step` is the distance between neighbours. B^T, A^T, A, G and G^T of the paper.
inline void TransformInput(const Lanes* d, Lanes* v, int step) {
  const Lanes even_p = d[4 * step] - kQ2 * d[2 * step], odd_p = kP * (d[3 * step] - kQ2 * d[step]);
  const Lanes even_q = d[4 * step] - kP2 * d[2 * step], odd_q = kQ * (d[3 * step] - kP2 * d[step]);
  const Lanes first = kP2 * kQ2 * d[0] - (kP2 + kQ2) * d[2 * step] + d[4 * step];
  const Lanes last = kP2 * kQ2 * d[step] - (kP2 + kQ2) * d[3 * step] + d[5 * step];
  v[0] = first;
  v[step] = even_p + odd_p;
  v[2 * step] = even_p - odd_p;
  v[3 * step] = even_q + odd_q;
  v[4 * step] = even_q - odd_q;
  v[5 * step] = last;
}

inline void TransformOutput(const Lanes* m, Lanes* y, int step) {
  const Lanes even_p = m[step] + m[2 * step], odd_p = m[step] - m[2 * step];
  const Lanes even_q = m[3 * step] + m[4 * step], odd_q = m[3 * step] - m[4 * step];
  const Lanes first = m[0], last = m[5 * step];
  y[0] = first + even_p + even_q;
  y[step] = kP * odd_p + kQ * odd_q;
  y[2 * step] = kP2 * even_p + kQ2 * even_q;
  y[3 * step] = kP3 * odd_p + kQ3 * odd_q + last;
}

inline void TransformOutputGradient(const Lanes* y, Lanes* m, int step) {
  const Lanes even_p = y[0] + kP2 * y[2 * step], odd_p = kP * y[step] + kP3 * y[3 * step];
  const Lanes even_q = y[0] + kQ2 * y[2 * step], odd_q = kQ * y[step] + kQ3 * y[3 * step];
  const Lanes first = y[0], last = y[3 * step];
  m[0] = first;
  m[step] = even_p + odd_p;
  m[2 * step] = even_p - odd_p;
  m[3 * step] = even_q + odd_q;
  m[4 * step] = even_q - odd_q;
  m[5 * step] = last;
}

inline void TransformFilter(const Lanes* g, Lanes* u, int step) {
  const Lanes even_p = kAtP * (g[0] + kP2 * g[2 * step]), odd_p = kAtP * kP * g[step];
  const Lanes even_q = kAtQ * (g[0] + kQ2 * g[2 * step]), odd_q = kAtQ * kQ * g[step];
  const Lanes first = kAtZero * g[0], last = g[2 * step];
  u[0] = first;
  u[step] = even_p + odd_p;
  u[2 * step] = even_p - odd_p;
  u[3 * step] = even_q + odd_q;
  u[4 * step] = even_q - odd_q;
  u[5 * step] = last;
}

inline void TransformFilterGradient(const Lanes* u, Lanes* g, int step) {
  const Lanes even_p = kAtP * (u[step] + u[2 * step]), odd_p = kAtP * (u[step] - u[2 * step]);
  const Lanes even_q = kAtQ * (u[3 * step] + u[4 * step]), odd_q = kAtQ * (u[3 * step] - u[4 * step]);
  const Lanes first = kAtZero * u[0] + even_p + even_q;
  const Lanes second = kP * odd_p + kQ * odd_q;
  const Lanes third = kP2 * even_p + kQ2 * even_q + u[5 * step];
  g[0] = first;
  g[step] = second;
  g[2 * step] = third;
}

// A map of images, and how tiles of `kTile` lie on the outputs that are computed from or for it.
struct Map {
  int64_t height, width, channels;
  int64_t offset;  // the first tile's window begins at -offset
};

// The tiles of a batch in order: image, row, column.
struct Tiles {
  Tiles(int64_t batch, int64_t out_height, int64_t out_width)
      : rows((out_height + kTile - 1) / kTile),
        columns((out_width + kTile - 1) / kTile),
        count(batch * rows * columns) {}
  int64_t rows, columns, count;
};

// Transforms the windows of tiles [begin, end) of x into v [36, end - begin, channels]. kSide and kTransform: 6 x 6
// windows of the input, or 4 x 4 tiles of the output's gradient.
template <int kSide, void (*kTransform)(const Lanes*, Lanes*, int)>
void Gather(const Tiles& tiles, const Map& map, const float* x, int64_t begin, int64_t end, float* v) {
  const int64_t plane = (end - begin) * map.channels;
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t n = tile / (tiles.rows * tiles.columns);
    const int64_t top = tile / tiles.columns % tiles.rows * kTile - map.offset;
    const int64_t left = tile % tiles.columns * kTile - map.offset;
    const float* image = x + n * map.height * map.width * map.channels;
    float* to = v + (tile - begin) * map.channels;
    for (int64_t c = 0; c < map.channels; c += kLanes) {
      const int64_t lanes = std::min<int64_t>(kLanes, map.channels - c);
      Lanes d[kPlaces], t[kPlaces];
      for (int i = 0; i < kSide; ++i) {
        const int64_t y = top + i;
        const bool row_inside = y >= 0 && y < map.height;
        for (int j = 0; j < kSide; ++j) {
          const int64_t column = left + j;
          if (row_inside && column >= 0 && column < map.width) {
            Load(d[i * kWindow + j], image + (y * map.width + column) * map.channels + c, lanes);
          } else {
            d[i * kWindow + j] = Lanes{};
          }
        }
      }
      for (int j = 0; j < kSide; ++j) kTransform(d + j, t + j, kWindow);
      for (int i = 0; i < kWindow; ++i) {
        Lanes row[kWindow];
        kTransform(t + i * kWindow, row, 1);
        for (int j = 0; j < kWindow; ++j) Store(to + (i * kWindow + j) * plane + c, row[j], lanes);
      }
    }
  }
}

// The way back: m [36, end - begin, channels] into the 4 x 4 places of each tile of y.
void Scatter(const Tiles& tiles, const Map& map, const float* m, int64_t begin, int64_t end, const float* bias,
             bool relu, float* y) {
  const int64_t plane = (end - begin) * map.channels;
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t n = tile / (tiles.rows * tiles.columns);
    const int64_t top = tile / tiles.columns % tiles.rows * kTile, left = tile % tiles.columns * kTile;
    float* image = y + n * map.height * map.width * map.channels;
    const float* from = m + (tile - begin) * map.channels;
    const int64_t rows = std::min<int64_t>(kTile, map.height - top);
    const int64_t columns = std::min<int64_t>(kTile, map.width - left);
    for (int64_t c = 0; c < map.channels; c += kLanes) {
      const int64_t lanes = std::min<int64_t>(kLanes, map.channels - c);
      Lanes added = {};
      if (bias != nullptr) Load(added, bias + c, lanes);
      Lanes t[kTile * kWindow];
      for (int j = 0; j < kWindow; ++j) {
        Lanes column[kWindow];
        for (int i = 0; i < kWindow; ++i) Load(column[i], from + (i * kWindow + j) * plane + c, lanes);
        Lanes result[kTile];
        TransformOutput(column, result, 1);
        for (int i = 0; i < kTile; ++i) t[i * kWindow + j] = result[i];
      }
      for (int64_t i = 0; i < rows; ++i) {
        Lanes row[kTile];
        TransformOutput(t + i * kWindow, row, 1);
        for (int64_t j = 0; j < columns; ++j) {
          Lanes value = row[j] + added;
          if (relu) value = value < 0.0f ? Lanes{} : value;
          Store(image + ((top + i) * map.width + left + j) * map.channels + c, value, lanes);
        }
      }
    }
  }
}

// Filters [O, 3, 3, I] to u [36, O, I]; turned by 180 degrees if `flip`.
void TransformFiltersNow(Device& device, const ConvShape& s, const float* weight, bool flip, float* u) {
  const int64_t inputs = s.in_channels, plane = s.out_channels * inputs;
  CpuParallelRanges(device, s.out_channels, 8, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t c = 0; c < inputs; c += kLanes) {
        const int64_t lanes = std::min<int64_t>(kLanes, inputs - c);
        Lanes g[9], t[3 * kWindow];
        for (int k = 0; k < 9; ++k) Load(g[k], weight + (o * 9 + (flip ? 8 - k : k)) * inputs + c, lanes);
        for (int j = 0; j < 3; ++j) TransformFilter(g + j, t + j, 3);
        for (int i = 0; i < kWindow; ++i) {
          Lanes row[kWindow];
          TransformFilter(t + 3 * i, row, 1);
          for (int j = 0; j < kWindow; ++j) Store(u + (i * kWindow + j) * plane + o * inputs + c, row[j], lanes);
        }
      }
    }
  });
}

void TransformFilters(Device& device, const ConvShape& s, const float* weight, bool flip, float* u) {
  EnqueueHostWork(device.compute_stream(), [=, &device] { TransformFiltersNow(device, s, weight, flip, u); });
}

// Tiles that are worked on at once: enough for matrix products to be efficient, few enough for their 36 planes to stay
// in the last cache. Does not depend on the number of threads.
int64_t TilesAtOnce(const ConvShape& s, const Tiles& tiles) {
  constexpr int64_t kBytes = int64_t{12} << 20;
  const int64_t fit = kBytes / (kPlaces * static_cast<int64_t>(sizeof(float)) * (s.in_channels + s.out_channels));
  return std::min(tiles.count, std::max<int64_t>(64, fit));
}

Tensor Scratch(Device& device, int64_t size) { return Tensor::Empty(device, {size}); }

// How tiles are shared out: blocks of tiles, in `parts` runs of neighbours, one for each thread.
struct Work {
  Work(const Device& device, const ConvShape& s, const Tiles& tiles)
      : at_once(TilesAtOnce(s, tiles)),
        blocks((tiles.count + at_once - 1) / at_once),
        parts(std::min<int64_t>(device.threads(), blocks)) {}
  int64_t FirstBlock(int64_t part) const { return blocks * part / parts; }

  int64_t at_once, blocks, parts;
};

// y = x * filters, where u [36, O, I] are transformed; products take u transposed or not.
void Convolve(Device& device, const ConvShape& s, const Tiles& tiles, const Map& from, const float* x, const float* u,
              bool transpose, const Map& to, const float* bias, bool relu, float* y) {
  const Work work(device, s, tiles);
  const int64_t v_size = kPlaces * work.at_once * from.channels, m_size = kPlaces * work.at_once * to.channels;
  const Tensor scratch_v = Scratch(device, work.parts * v_size), scratch_m = Scratch(device, work.parts * m_size);
  float* const all_v = scratch_v.data<float>();
  float* const all_m = scratch_m.data<float>();
  const auto run_parts = [=](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) {
      float* v = all_v + part * v_size;
      float* m = all_m + part * m_size;
      for (int64_t block = work.FirstBlock(part); block < work.FirstBlock(part + 1); ++block) {
        const int64_t begin = block * work.at_once, end = std::min(tiles.count, begin + work.at_once);
        const int64_t count = end - begin;
        Gather<kWindow, TransformInput>(tiles, from, x, begin, end, v);
        for (int k = 0; k < kPlaces; ++k) {
          MatmulCpu(false, transpose, count, to.channels, from.channels, v + k * count * from.channels,
                    u + k * s.out_channels * s.in_channels, 0.0f, m + k * count * to.channels);
        }
        Scatter(tiles, to, m, begin, end, bias, relu, y);
      }
    }
  };
  EnqueueHostWork(device.compute_stream(),
                  [&device, work, run_parts] { CpuParallelRanges(device, work.parts, 1, run_parts); });
}

}  // namespace

bool WinogradApplies(const ConvShape& s) {
  return s.kernel_height == 3 && s.kernel_width == 3 && s.stride == 1 && s.dilation == 1 && s.groups == 1 &&
         s.padding <= 2;
}

void WinogradForward(Device& device, const ConvShape& s, const float* input, const float* weight, const float* bias,
                     bool relu, float* output) {
  CHECK(WinogradApplies(s));
  const Tensor u = Scratch(device, kPlaces * s.out_channels * s.in_channels);
  TransformFilters(device, s, weight, false, u.data<float>());
  Convolve(device, s, Tiles(s.batch, s.out_height, s.out_width), {s.in_height, s.in_width, s.in_channels, s.padding},
           input, u.data<float>(), true, {s.out_height, s.out_width, s.out_channels, 0}, bias, relu, output);
}

void WinogradBackwardData(Device& device, const ConvShape& s, const float* output_gradient, const float* weight,
                          float* input_gradient) {
  CHECK(WinogradApplies(s));
  const Tensor u = Scratch(device, kPlaces * s.out_channels * s.in_channels);
  TransformFilters(device, s, weight, true, u.data<float>());
  Convolve(device, s, Tiles(s.batch, s.in_height, s.in_width),
           {s.out_height, s.out_width, s.out_channels, 2 - s.padding}, output_gradient, u.data<float>(), false,
           {s.in_height, s.in_width, s.in_channels, 0}, nullptr, false, input_gradient);
}

void WinogradBackwardWeights(Device& device, const ConvShape& s, const float* input, const float* output_gradient,
                             float* weight_gradient) {
  CHECK(WinogradApplies(s));
  const Tiles tiles(s.batch, s.out_height, s.out_width);
  const Map in{s.in_height, s.in_width, s.in_channels, s.padding}, out{s.out_height, s.out_width, s.out_channels, 0};
  const Work work(device, s, tiles);
  const int64_t parts = work.parts;
  const int64_t plane = s.out_channels * s.in_channels;
  const int64_t v_size = kPlaces * work.at_once * s.in_channels, m_size = kPlaces * work.at_once * s.out_channels;
  const Tensor scratch_v = Scratch(device, parts * v_size), scratch_m = Scratch(device, parts * m_size);
  float* const all_v = scratch_v.data<float>();
  float* const all_m = scratch_m.data<float>();
  // A sum for each thread; they are added in order.
  const Tensor scratch_sums = Scratch(device, parts * kPlaces * plane);
  float* const sums = scratch_sums.data<float>();
  const auto run_parts = [=](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) {
      float* v = all_v + part * v_size;
      float* m = all_m + part * m_size;
      float* sum = sums + part * kPlaces * plane;
      for (int64_t block = work.FirstBlock(part); block < work.FirstBlock(part + 1); ++block) {
        const int64_t begin = block * work.at_once, end = std::min(tiles.count, begin + work.at_once);
        const int64_t count = end - begin;
        Gather<kWindow, TransformInput>(tiles, in, input, begin, end, v);
        Gather<kTile, TransformOutputGradient>(tiles, out, output_gradient, begin, end, m);
        const float keep = block == work.FirstBlock(part) ? 0.0f : 1.0f;
        for (int k = 0; k < kPlaces; ++k) {
          MatmulCpu(true, false, s.out_channels, s.in_channels, count, m + k * count * s.out_channels,
                    v + k * count * s.in_channels, keep, sum + k * plane);
        }
      }
    }
  };
  const auto transform_filters = [=](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t c = 0; c < s.in_channels; c += kLanes) {
        const int64_t lanes = std::min<int64_t>(kLanes, s.in_channels - c);
        Lanes u[kPlaces], t[3 * kWindow];
        for (int k = 0; k < kPlaces; ++k) {
          Load(u[k], sums + k * plane + o * s.in_channels + c, lanes);
          for (int64_t part = 1; part < parts; ++part) {
            Lanes more;
            Load(more, sums + (part * kPlaces + k) * plane + o * s.in_channels + c, lanes);
            u[k] += more;
          }
        }
        for (int j = 0; j < kWindow; ++j) TransformFilterGradient(u + j, t + j, kWindow);
        for (int i = 0; i < 3; ++i) {
          Lanes row[3];
          TransformFilterGradient(t + i * kWindow, row, 1);
          for (int j = 0; j < 3; ++j) {
            Store(weight_gradient + (o * 9 + 3 * i + j) * s.in_channels + c, row[j], lanes);
          }
        }
      }
    }
  };
  EnqueueHostWork(device.compute_stream(), [&device, parts, channels = s.out_channels, run_parts, transform_filters] {
    CpuParallelRanges(device, parts, 1, run_parts);
    CpuParallelRanges(device, channels, 8, transform_filters);
  });
}

}  // namespace trireme::ops

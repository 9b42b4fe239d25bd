// The bodies of depthwise convolutions, for depthwise_conv.cc. Private to core/ops.
#ifndef TRIREME_CORE_OPS_DEPTHWISE_BODIES_H_
#define TRIREME_CORE_OPS_DEPTHWISE_BODIES_H_

#include <numeric>

#include "core/ops/conv_shape.h"
#include "core/ops/lanes.h"

namespace trireme::ops {
namespace {

// Neighbouring places of the result that are computed together, so that a filter's value is read once for all.
constexpr int kRun = 4;

// The taps of a filter that reach one place of the result: first, first + step, ..., and what they read there.
struct Taps {
  int first, step;
  int64_t place, place_step;
};

// Along one side of the maps, place d of the result takes place (d up + offset + k spread) / down of the source through
// tap k, where that is whole. Forward `up` is the stride; backwards `down` is, and taps go the other way.
struct Axis {
  int64_t up, down, offset, spread;
  int period;  // taps from one that is whole to the next

  TRIREME_HD Taps At(int64_t d, int kernel) const {
    const int64_t reach = d * up + offset;
    if (down == 1) return {0, 1, reach, spread};
    for (int k = 0; k < period && k < kernel; ++k) {
      const int64_t at = reach + k * spread;
      if (at % down == 0) return {k, period, at / down, spread * period / down};
    }
    return {kernel, 1, 0, 0};
  }
};

// One pass over the result, each place of which gathers from the source: forward, and backwards to the input.
template <class T>
struct Gather {
  using Element = T;
  const T* from;
  const float* weight;  // [taps, channels]
  const T* bias;        // or null
  T* to;
  bool relu;
  int64_t from_height, from_width, to_height, to_width, channels;
  Axis axis;
  int kernel_height, kernel_width;
  // Places of a row that have the same taps, every down-th one, are cut into strips.
  int64_t strip, strips;

  bool IsAligned() const { return AreAligned(from, weight, bias, to); }

  int64_t Rows(int64_t images) const { return images * to_height * axis.down * strips; }

  // `row` counts images, rows, what is left of a place divided by `down`, and strips.
  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const Division by_strip(row, strips), by_phase(by_strip.quotient, axis.down), by_row(by_phase.quotient, to_height);
    const int64_t phase = by_phase.rest, y = by_row.rest;
    const int64_t count = phase < to_width ? Division(to_width - phase + axis.down - 1, axis.down).quotient : 0;
    const int64_t begin = by_strip.rest * strip, end = begin + strip < count ? begin + strip : count;
    const Taps rows = axis.At(y, kernel_height), columns = axis.At(phase, kernel_width);
    const int64_t last = columns.place + (kernel_width - 1 - columns.first) / columns.step * columns.place_step;
    const int64_t left = columns.place < last ? columns.place : last,
                  right = columns.place < last ? last : columns.place;
    const T* image = from + by_row.quotient * from_height * from_width * channels + c;
    const int64_t to_step = axis.down * channels;
    T* line = to + ((by_row.quotient * to_height + y) * to_width + phase) * channels + c;
    for (int64_t next = begin; next < end; next += kRun) {
      // Some places are computed twice rather than few at a time.
      const int64_t j = next + kRun > end && end - begin >= kRun ? end - kRun : next;
      const Run run{rows, columns, j, end - j, c, image, line + j * to_step};
      if (j + kRun <= end && left + j * axis.up >= 0 && right + (j + kRun - 1) * axis.up < from_width) {
        Compute<kLanes, true>(run);
      } else {
        Compute<kLanes, false>(run);
      }
    }
  }

 private:
  struct Run {
    const Taps rows, columns;
    const int64_t first, count;  // places, of those with the same taps
    const int64_t channel;
    const T* image;
    T* to;
  };

  // kInside: every tap of every place reads inside the image.
  template <int kLanes, bool kInside>
  TRIREME_HD void Compute(const Run& run) const {
    LaneList<kRun, kLanes> sums;
    if (bias != nullptr) {
      sums.SetAll(bias + run.channel);
    } else {
      sums.SetZero();
    }
    const Taps& rows = run.rows;
    const Taps& columns = run.columns;
    const int64_t next = axis.up * channels;
    int64_t row = rows.place;
    for (int ky = rows.first; ky < kernel_height; ky += rows.step, row += rows.place_step) {
      if (row < 0 || row >= from_height) continue;
      int64_t column = columns.place + run.first * axis.up;
      const T* at = run.image + (row * from_width + column) * channels;
      const float* tap = weight + (ky * kernel_width + columns.first) * channels + run.channel;
      for (int kx = columns.first; kx < kernel_width; kx += columns.step) {
        Lanes<kLanes> factor;
        factor.Load(tap);
        if constexpr (kInside) {
          sums.AddProducts(factor, at, next);
        } else {
          sums.AddProductsInside(factor, at, next, column, axis.up, from_width, run.count);
        }
        at += columns.place_step * channels;
        column += columns.place_step;
        tap += columns.step * channels;
      }
    }
    sums.Store(relu, run.count, run.to, axis.down * channels);
  }
};

// Sums over places for the filters' gradients. Each row of it takes a block of the output's rows, one row of the
// filters, and kTaps neighbouring taps of that.
template <class T, int kTaps>
struct FilterSums {
  using Element = T;
  const T* input;
  const T* output_gradient;
  double* partial;  // [blocks, taps, channels]
  int64_t in_height, in_width, out_height, out_width, channels;
  int64_t rows, block_rows;  // of the output, whose images lie one below the other
  int64_t stride, padding, dilation;
  int kernel_height, kernel_width;

  // Places that are added up in float32 before the sum goes on in float64.
  static constexpr int64_t kShortSum = 256;

  bool IsAligned() const {
    return AreAligned(input, output_gradient) && reinterpret_cast<uintptr_t>(partial) % 16 == 0;
  }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const int groups = kernel_width / kTaps;
    const Division by_group(row, groups), by_tap(by_group.quotient, kernel_height);
    const int64_t block = by_tap.quotient, ky = by_tap.rest, kx = by_group.rest * kTaps;
    const int64_t first = block * block_rows;
    const int64_t stop = first + block_rows < rows ? first + block_rows : rows;
    double total[kTaps * kLanes];
    for (int v = 0; v < kTaps * kLanes; ++v) total[v] = 0;
    LaneList<kTaps, kLanes> sums;
    sums.SetZero();
    int64_t places = 0;
    const int64_t columns_step = dilation * channels;
    for (int64_t output_row = first; output_row < stop; ++output_row) {
      const Division by_image(output_row, out_height);
      const int64_t source_row = by_image.rest * stride - padding + ky * dilation;
      if (source_row < 0 || source_row >= in_height) continue;
      const T* gradient = output_gradient + output_row * out_width * channels + c;
      int64_t column = kx * dilation - padding;
      const int64_t in_row = (by_image.quotient * in_height + source_row) * in_width;
      const T* at = input + (in_row + column) * channels + c;
      // The places whose taps all read inside the image lie between those of the edges.
      int64_t x = 0;
      for (; x < out_width && column < 0; ++x, column += stride, gradient += channels, at += stride * channels) {
        AddEdge(gradient, at, column, &sums);
      }
      const int64_t last = in_width - (kTaps - 1) * dilation;
      for (; x < out_width && column < last; ++x, column += stride, gradient += channels, at += stride * channels) {
        Lanes<kLanes> g;
        g.Load(gradient);
        sums.AddProducts(g, at, columns_step);
      }
      for (; x < out_width; ++x, column += stride, gradient += channels, at += stride * channels) {
        AddEdge(gradient, at, column, &sums);
      }
      places += out_width;
      if (places >= kShortSum) {
        sums.AddTo(total, kLanes);
        sums.SetZero();
        places = 0;
      }
    }
    sums.AddTo(total, kLanes);
    double* to = partial + ((block * kernel_height + ky) * kernel_width + kx) * channels + c;
    for (int k = 0; k < kTaps; ++k) {
      for (int l = 0; l < kLanes; ++l) to[k * channels + l] = total[k * kLanes + l];
    }
  }

 private:
  template <int kLanes>
  TRIREME_LANES void AddEdge(const T* gradient, const T* at, int64_t column, LaneList<kTaps, kLanes>* sums) const {
    Lanes<kLanes> g;
    g.Load(gradient);
    sums->AddProductsInside(g, at, dilation * channels, column, dilation, in_width, kTaps);
  }
};

// Of the forward pass.
inline Axis ForwardAxis(const ConvShape& s) { return {s.stride, 1, -s.padding, s.dilation, 1}; }

// Of the pass from the output's gradient to the input's.
inline Axis BackwardAxis(const ConvShape& s) {
  return {1, s.stride, s.padding, -s.dilation, static_cast<int>(s.stride / std::gcd(s.stride, s.dilation))};
}

}  // namespace
}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_DEPTHWISE_BODIES_H_

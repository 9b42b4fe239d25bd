#include "data/image/resize.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace trireme {
namespace {

constexpr int kWeightBits = 11;
constexpr int kOne = 1 << kWeightBits;

// Where one output pixel of a row or column comes from: input pixels `first` and `second`, the latter
// with `weight` of kOne.
struct Tap {
  int first = 0, second = 0, weight = 0;
  bool inside = true;  // the centre lies in the input
};

// Taps for `to` output pixels that cover [begin, end) of an input of `from` pixels.
std::vector<Tap> MakeTaps(int from, double begin, double end, int to) {
  std::vector<Tap> taps(to);
  const double step = (end - begin) / to;
  for (int i = 0; i < to; ++i) {
    const double centre = begin + (i + 0.5) * step;
    const double at = centre - 0.5;
    const double clamped = std::min(std::max(at, 0.0), from - 1.0);
    Tap& tap = taps[i];
    tap.inside = centre >= 0 && centre < from;
    tap.first = static_cast<int>(clamped);
    tap.second = std::min(tap.first + 1, from - 1);
    tap.weight = static_cast<int>(std::lround((clamped - tap.first) * kOne));
  }
  return taps;
}

// One input row at the output's width; values carry kWeightBits fractional bits.
void ResampleRow(const uint8_t* row, const std::vector<Tap>& taps, int32_t* to) {
  for (const Tap& tap : taps) {
    const uint8_t* a = row + 3 * tap.first;
    const uint8_t* b = row + 3 * tap.second;
    for (int c = 0; c < 3; ++c) *to++ = a[c] * kOne + (b[c] - a[c]) * tap.weight;
  }
}

void Resample(const Image& image, const std::vector<Tap>& columns, const std::vector<Tap>& rows,
              const std::array<uint8_t, 3>& fill, uint8_t* to) {
  const int width = static_cast<int>(columns.size());
  // Columns whose centre lies inside are one run.
  int inside_begin = 0, inside_end = width;
  while (inside_begin < width && !columns[inside_begin].inside) ++inside_begin;
  while (inside_end > inside_begin && !columns[inside_end - 1].inside) --inside_end;

  std::vector<int32_t> buffers[2] = {std::vector<int32_t>(3 * width), std::vector<int32_t>(3 * width)};
  int held[2] = {-1, -1};  // the input rows in the buffers
  for (const Tap& tap : rows) {
    uint8_t* out = to;
    to += 3 * width;
    const auto fill_columns = [&](int begin, int end) {
      for (int x = begin; x < end; ++x) std::memcpy(out + 3 * x, fill.data(), 3);
    };
    if (!tap.inside || inside_begin == inside_end) {
      fill_columns(0, width);
      continue;
    }
    if (held[0] != tap.first && held[1] == tap.first) {
      std::swap(buffers[0], buffers[1]);
      std::swap(held[0], held[1]);
    }
    if (held[0] != tap.first) {
      ResampleRow(image.pixel(0, tap.first), columns, buffers[0].data());
      held[0] = tap.first;
    }
    if (tap.second != tap.first && held[1] != tap.second) {
      ResampleRow(image.pixel(0, tap.second), columns, buffers[1].data());
      held[1] = tap.second;
    }
    const int32_t* a = buffers[0].data();
    const int32_t* b = tap.second == tap.first ? a : buffers[1].data();
    constexpr int32_t kHalf = 1 << (2 * kWeightBits - 1);
    const int32_t weight = tap.weight, rest = kOne - tap.weight;
    for (int i = 3 * inside_begin; i < 3 * inside_end; ++i) {
      out[i] = static_cast<uint8_t>((a[i] * rest + b[i] * weight + kHalf) >> (2 * kWeightBits));
    }
    fill_columns(0, inside_begin);
    fill_columns(inside_end, width);
  }
}

}  // namespace

void ResizeImage(const Image& image, int width, int height, uint8_t* to) {
  CHECK(!image.empty() && width > 0 && height > 0);
  if (width == image.width && height == image.height) {
    std::memcpy(to, image.data.data(), image.data.size());
    return;
  }
  Resample(image, MakeTaps(image.width, 0, image.width, width), MakeTaps(image.height, 0, image.height, height),
           {0, 0, 0}, to);
}

Image ResizeImage(const Image& image, int width, int height) {
  Image resized(width, height);
  ResizeImage(image, width, height, resized.data.data());
  return resized;
}

Image ResampleWindow(const Image& image, const Box& window, int width, int height, const std::array<uint8_t, 3>& fill) {
  CHECK(!image.empty() && width > 0 && height > 0);
  CHECK(window.width() > 0 && window.height() > 0);
  Image resampled(width, height);
  Resample(image, MakeTaps(image.width, window.x1, window.x2, width),
           MakeTaps(image.height, window.y1, window.y2, height), fill, resampled.data.data());
  return resampled;
}

}  // namespace trireme

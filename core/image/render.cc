#include "core/image/render.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/device/parallel_for.h"
#include "core/image/colour.h"

namespace trireme {
namespace {

// Pixels that a CPU renders at once: a channel of them is a few vector registers' worth, all of it fits the first
// cache.
constexpr int kCpuRun = 64;

// Between which two pixels of a region a position lies.
struct Tap {
  int32_t first, second;  // bytes from the region's start
  float weight;           // of the second
};

TRIREME_HD inline Tap TapAt(int position, float scale, float offset, int32_t size, int32_t stride) {
  const float last = static_cast<float>(size - 1);
  const float at = Cut(static_cast<float>(position) * scale + offset, 0, last);
  const int32_t first = static_cast<int32_t>(at);
  const int32_t second = first + 1 < size ? first + 1 : first;
  return {first * stride, second * stride, at - static_cast<float>(first)};
}

TRIREME_HD inline uint32_t LoadPixel(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16;
}

// Reads a byte more, which on CPU is several times as fast as reading three. The result has that byte on top.
TRIREME_HD inline uint32_t LoadPixelAndByte(const uint8_t* p) {
  uint32_t pixel;
  memcpy(&pixel, p, 4);
  return pixel;
}

TRIREME_HD inline float Channel(uint32_t pixel, int c) {
  return static_cast<float>(static_cast<int32_t>((pixel >> (8 * c)) & 255));
}

TRIREME_HD inline float Blend(float a, float b, float weight) { return a + (b - a) * weight; }

TRIREME_HD inline uint8_t ToByte(float value) {
  return static_cast<uint8_t>(static_cast<int32_t>(Cut(value, 0, 255) + 0.5f));
}

TRIREME_HD inline void Fill(const uint8_t* colour, int begin, int end, uint8_t* to) {
  for (int i = begin; i < end; ++i) {
    for (int c = 0; c < 3; ++c) to[3 * i + c] = colour[c];
  }
}

// The kernel's body: pixels x .. x + count - 1 of row y, count <= N.
template <int N>
TRIREME_HD void RenderRun(const RenderJob& job, const uint8_t* sources, int x, int y, int count, uint8_t* to) {
  int begin = job.begins[0] > x ? job.begins[0] - x : 0;
  int end = job.ends[0] < x + count ? job.ends[0] - x : count;
  if (y < job.begins[1] || y >= job.ends[1] || begin >= end) begin = end = count;
  if (begin < end) {
    const uint8_t* const source = sources + job.first_byte;
    const Tap row = TapAt(y, job.scales[1], job.offsets[1], job.sizes[1], job.strides[1]);
    const uint8_t* const upper = source + row.first;
    const uint8_t* const lower = source + row.second;
    int32_t first[N], second[N];
    float weight[N];
    for (int i = 0; i < N; ++i) {
      const Tap tap = TapAt(x + i, job.scales[0], job.offsets[0], job.sizes[0], job.strides[0]);
      first[i] = tap.first;
      second[i] = tap.second;
      weight[i] = tap.weight;
    }
    uint32_t corners[4][N];
    const int64_t furthest = row.second + static_cast<int64_t>(job.sizes[0] - 1) * job.strides[0];
    if (N > 1 && furthest + 4 <= job.readable_bytes) {
      for (int i = 0; i < N; ++i) {
        corners[0][i] = LoadPixelAndByte(upper + first[i]);
        corners[1][i] = LoadPixelAndByte(upper + second[i]);
        corners[2][i] = LoadPixelAndByte(lower + first[i]);
        corners[3][i] = LoadPixelAndByte(lower + second[i]);
      }
    } else {
      for (int i = 0; i < N; ++i) {
        corners[0][i] = LoadPixel(upper + first[i]);
        corners[1][i] = LoadPixel(upper + second[i]);
        corners[2][i] = LoadPixel(lower + first[i]);
        corners[3][i] = LoadPixel(lower + second[i]);
      }
    }
    float channels[3][N];
    for (int c = 0; c < 3; ++c) {
      for (int i = 0; i < N; ++i) {
        const float above = Blend(Channel(corners[0][i], c), Channel(corners[1][i], c), weight[i]);
        const float below = Blend(Channel(corners[2][i], c), Channel(corners[3][i], c), weight[i]);
        channels[c][i] = Blend(above, below, row.weight);
      }
    }
    for (int k = 0; k < job.num_colours; ++k) ApplyColour<N>(job.colours[k], channels[0], channels[1], channels[2]);
    for (int i = begin; i < end; ++i) {
      for (int c = 0; c < 3; ++c) to[3 * i + c] = ToByte(channels[c][i]);
    }
  }
  Fill(job.fill, 0, begin, to);
  Fill(job.fill, end, count, to);
}

// Run i of all rows of all images.
template <int N>
struct RenderRuns {
  const RenderJob* jobs;
  const uint8_t* sources;
  int width, height, runs;  // of a row
  uint8_t* to;

  TRIREME_HD void operator()(int64_t i) const {
    const int64_t row = i / runs;
    const int x = static_cast<int>(i % runs) * N;
    const int count = width - x < N ? width - x : N;
    RenderRun<N>(jobs[row / height], sources, x, static_cast<int>(row % height), count, to + 3 * (row * width + x));
  }
};

template <int N>
RenderRuns<N> Runs(const RenderJob* jobs, const uint8_t* sources, int width, int height, uint8_t* to) {
  return {jobs, sources, width, height, (width + N - 1) / N, to};
}

// Sets what belongs to one axis of the result, `size` pixels long, which shows `extent` of the image so far. Returns
// the first source pixel that is read.
int SetAxis(const AugmentationPlan::Axis& axis, const AugmentationPlan::Range& visible, int extent, int size, int index,
            RenderJob* job) {
  const double step = static_cast<double>(extent) / size;
  const double scale = axis.scale * step;
  // Centre i lies at scale * (i + 0.5) + axis.offset of the source.
  const double to_begin = (visible.begin - axis.offset) / scale - 0.5,
               to_end = (visible.end - axis.offset) / scale - 0.5;
  const double begin = scale > 0 ? std::ceil(to_begin) : std::floor(to_end) + 1;
  const double end = scale > 0 ? std::ceil(to_end) : std::floor(to_begin) + 1;
  const double limit = size;
  job->begins[index] = static_cast<int32_t>(std::min(std::max(begin, 0.0), limit));
  job->ends[index] = static_cast<int32_t>(std::min(std::max(end, 0.0), limit));
  if (job->begins[index] >= job->ends[index]) {
    job->ends[index] = job->begins[index];
    return 0;
  }
  const double offset = scale * 0.5 + axis.offset - 0.5;  // in which pixel centres are whole numbers
  const double a = scale * job->begins[index] + offset, b = scale * (job->ends[index] - 1) + offset;
  const double lowest = std::floor(visible.begin), highest = std::ceil(visible.end) - 1;
  const double first = std::min(std::max(std::floor(std::min(a, b)), lowest), highest);
  const double last = std::min(std::max(std::floor(std::max(a, b)) + 1, lowest), highest);
  job->sizes[index] = static_cast<int32_t>(last - first) + 1;
  job->scales[index] = static_cast<float>(scale);
  job->offsets[index] = static_cast<float>(offset - first);
  return static_cast<int>(first);
}

}  // namespace

void RenderJob::PlaceSource(int64_t first, int64_t row_bytes, int64_t readable) {
  first_byte = first;
  readable_bytes = readable;
  strides[transposed ? 1 : 0] = 3;
  strides[transposed ? 0 : 1] = static_cast<int32_t>(row_bytes);
}

RenderJob MakeRenderJob(const AugmentationPlan& plan, int width, int height) {
  CHECK(plan.width() > 0 && plan.height() > 0 && width > 0 && height > 0);
  RenderJob job;
  job.transposed = plan.transposed();
  const auto& along_columns = plan.transposed() ? plan.visible_y() : plan.visible_x();
  const auto& along_rows = plan.transposed() ? plan.visible_x() : plan.visible_y();
  const int first_0 = SetAxis(plan.columns(), along_columns, plan.width(), width, 0, &job);
  const int first_1 = SetAxis(plan.rows(), along_rows, plan.height(), height, 1, &job);
  if (job.sizes[0] > 0 && job.sizes[1] > 0) {
    job.region = plan.transposed() ? SourceRegion{first_1, first_0, job.sizes[1], job.sizes[0]}
                                   : SourceRegion{first_0, first_1, job.sizes[0], job.sizes[1]};
  } else {
    job.begins[1] = job.ends[1] = 0;
  }
  for (int c = 0; c < 3; ++c) job.fill[c] = ToByte(plan.fill()[c]);
  job.num_colours = static_cast<int32_t>(plan.colours().size());
  std::copy(plan.colours().begin(), plan.colours().end(), job.colours);
  job.PlaceSource(0, 3 * static_cast<int64_t>(job.region.width), job.region.bytes());
  return job;
}

void CopyRegion(const Image& image, const SourceRegion& region, uint8_t* to) {
  const size_t row = 3 * static_cast<size_t>(region.width);
  for (int y = 0; y < region.height; ++y) {
    std::memcpy(to + y * row, image.pixel(region.left, region.top + y), row);
  }
}

void RenderImage(const Image& source, const AugmentationPlan& plan, int width, int height, uint8_t* to) {
  CHECK(!source.empty());
  if (width == source.width && height == source.height && plan.is_identity()) {
    std::memcpy(to, source.data.data(), source.data.size());
    return;
  }
  RenderJob job = MakeRenderJob(plan, width, height);
  const int64_t row_bytes = 3 * static_cast<int64_t>(source.width);
  const int64_t first = row_bytes * job.region.top + 3 * static_cast<int64_t>(job.region.left);
  job.PlaceSource(first, row_bytes, row_bytes * source.height - first);
  const auto runs = Runs<kCpuRun>(&job, source.data.data(), width, height, to);
  for (int64_t i = 0; i < static_cast<int64_t>(runs.runs) * height; ++i) runs(i);
}

void ResizeImage(const Image& image, int width, int height, uint8_t* to) {
  RenderImage(image, AugmentationPlan(image.width, image.height), width, height, to);
}

Image ResizeImage(const Image& image, int width, int height) {
  Image resized(width, height);
  ResizeImage(image, width, height, resized.data.data());
  return resized;
}

void RenderBatch(const RenderJob* jobs, int64_t count, const uint8_t* sources, int width, int height, uint8_t* to,
                 Stream& stream) {
  if (stream.device().kind() == DeviceKind::kCuda) {
    ParallelFor(stream, count * height * width, Runs<1>(jobs, sources, width, height, to));
  } else {
    const auto runs = Runs<kCpuRun>(jobs, sources, width, height, to);
    ParallelFor(stream, count * height * runs.runs, runs, kParallelGrain / kCpuRun);
  }
}

}  // namespace trireme

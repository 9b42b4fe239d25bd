// CPU time of what the loader's threads do for one image beside decoding it: augmentation, and the stretch to what the
// detector takes.
//
//   bazel run //tools/bench:input_bench
#include <benchmark/benchmark.h>

#include "core/image/render.h"
#include "data/transforms/transforms.h"

namespace trireme {
namespace {

Sample Photograph(int width, int height) {
  Sample sample;
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = image.pixel(x, y);
      pixel[0] = static_cast<uint8_t>(x * 255 / width);
      pixel[1] = static_cast<uint8_t>(y * 255 / height);
      pixel[2] = static_cast<uint8_t>((x * y) % 251);
    }
  }
  sample.SetImage(std::move(image));
  const float w = static_cast<float>(width), h = static_cast<float>(height);
  for (int i = 0; i < 3; ++i) {
    Object object;
    object.box = {w * 0.2f * static_cast<float>(i), h * 0.3f, w * 0.2f * static_cast<float>(i + 2), h * 0.8f};
    sample.objects.push_back(object);
  }
  return sample;
}

void Render(const Sample& sample, int width, int height, uint8_t* to) {
  RenderImage(*sample.source, sample.plan, width, height, to);
}

using Transforms = std::vector<std::unique_ptr<Transform>>;

// 640 x 480 to `width` x `height`.
void Measure(benchmark::State& state, const Transforms& transforms, int width, int height) {
  const Sample photograph = Photograph(640, 480);
  std::vector<uint8_t> to(static_cast<size_t>(width) * height * 3);
  uint64_t image = 0;
  for (auto _ : state) {
    Sample sample = photograph;
    Random random(1, RandomUse::kAugmentation, 0, image++ % 512);
    for (const auto& transform : transforms) transform->Apply(&sample, &random);
    Render(sample, width, height, to.data());
    benchmark::DoNotOptimize(to.data());
  }
}

void BM_Resize(benchmark::State& state) { Measure(state, {}, 300, 300); }

void BM_Ssd(benchmark::State& state) {
  Transforms transforms;
  transforms.push_back(*MakePhotometric({}, {}));
  transforms.push_back(*MakeExpand({}, {}));
  transforms.push_back(*MakeMinIouCrop({}, {}));
  transforms.push_back(*MakeFlip({}, {}));
  Measure(state, transforms, 300, 300);
}

void BM_ScaleJitter(benchmark::State& state) {
  ScaleJitterConfig jitter;
  jitter.set_width(320);
  jitter.set_height(240);
  Transforms transforms;
  transforms.push_back(*MakeScaleJitter(jitter, {}));
  transforms.push_back(*MakePhotometric({}, {}));
  transforms.push_back(*MakeFlip({}, {}));
  Measure(state, transforms, 320, 240);
}

void BM_Same(benchmark::State& state) {
  Transforms transforms;
  transforms.push_back(*MakeFlip({}, {}));
  transforms.push_back(*MakeRotate90({}, {}));
  Measure(state, transforms, 640, 480);
}

BENCHMARK(BM_Resize)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Ssd)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_ScaleJitter)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Same)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace trireme

BENCHMARK_MAIN();

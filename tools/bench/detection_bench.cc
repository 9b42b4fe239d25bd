// Times what SSD300 does besides its network, on one thread: matching, hard negative mining, and the selection of
// detections, for a batch of 8 with 8732 anchors.
//
//   bazel run //tools/bench:detection_bench
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>

#include "core/base/random.h"
#include "core/device/device.h"
#include "models/matching/anchor_matching.h"
#include "models/nms/select_detections.h"
#include "models/ssd/hard_negative_mining.h"

namespace trireme {
namespace {

constexpr int64_t kImages = 8, kAnchors = 8732;

std::unique_ptr<Device> NewDevice() {
  std::unique_ptr<Device> device = MakeDevice("cpu", 1).value();
  device->BindToThisThread();
  return device;
}

Tensor RandomBoxes(Device& device, int64_t images, int64_t boxes, Random* random) {
  std::vector<float> values;
  for (int64_t i = 0; i < images * boxes; ++i) {
    const float x = random->Uniform(0, 280), y = random->Uniform(0, 280);
    values.insert(values.end(), {x, y, x + random->Uniform(10, 120), y + random->Uniform(10, 120)});
  }
  return Tensor::From(device, {images, boxes, 4}, values);
}

void BM_MatchAnchors(benchmark::State& state) {
  const auto device = NewDevice();
  Random random(1, RandomUse::kSynthesis);
  const int64_t objects = state.range(0);
  const Tensor anchors = RandomBoxes(*device, 1, kAnchors, &random).Reshape({kAnchors, 4});
  const Tensor boxes = RandomBoxes(*device, kImages, objects, &random);
  const Tensor labels = Tensor::Zeros(*device, {kImages, objects}, DataType::kInt32);
  for (auto _ : state) MatchAnchors(anchors, boxes, labels, 0.5f, BoxCoder(), device->compute_stream());
}
BENCHMARK(BM_MatchAnchors)->ArgName("objects")->Arg(8)->Arg(100)->Unit(benchmark::kMillisecond);

void BM_MineHardNegatives(benchmark::State& state) {
  const auto device = NewDevice();
  Random random(2, RandomUse::kSynthesis);
  std::vector<int32_t> label;
  std::vector<float> loss;
  for (int64_t i = 0; i < kImages * kAnchors; ++i) {
    label.push_back(random.Chance(0.01f));
    loss.push_back(std::abs(random.Normal()));
  }
  const Tensor labels = Tensor::From(*device, {kImages, kAnchors}, label);
  const Tensor losses = Tensor::From(*device, {kImages, kAnchors}, loss);
  for (auto _ : state) MineHardNegatives(labels, losses, 3, device->compute_stream());
}
BENCHMARK(BM_MineHardNegatives)->Unit(benchmark::kMillisecond);

// `above` of 1000 scores are above the threshold; an untrained head has nearly all there.
void BM_SelectDetections(benchmark::State& state) {
  const auto device = NewDevice();
  Random random(3, RandomUse::kSynthesis);
  const int64_t classes = state.range(0);
  const float share = static_cast<float>(state.range(1)) / 1000;
  std::vector<float> scores(kImages * kAnchors * (classes + 1), 0.001f);
  for (float& score : scores) {
    if (random.Chance(share)) score = random.Uniform(0.01f, 1);
  }
  ScoredBoxes scored;
  scored.boxes = RandomBoxes(*device, kImages, kAnchors, &random);
  scored.scores = Tensor::From(*device, {kImages, kAnchors, classes + 1}, scores);
  scored.first_class = 1;
  for (auto _ : state) {
    benchmark::DoNotOptimize(ReadDetections(SelectDetections(scored, {}, device->compute_stream())));
  }
}
BENCHMARK(BM_SelectDetections)
    ->ArgNames({"classes", "above"})
    ->Args({4, 10})
    ->Args({20, 10})
    ->Args({80, 10})
    ->Args({20, 900})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace trireme

BENCHMARK_MAIN();

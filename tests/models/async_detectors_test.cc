// Detectors on a device that runs beside the host: their steps wait for nothing and can be recorded, and detection
// reads nothing back but its table.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/autograd/tape.h"
#include "models/faster_rcnn/faster_rcnn.h"
#include "models/nms/select_detections.h"
#include "models/retinanet/retinanet.h"
#include "models/ssd/ssd.h"
#include "models/yolo/yolo.h"
#include "tests/core/testing/async_device.h"
#include "tests/models/testing/random_boxes.h"
#include "tests/models/testing/reference_detections.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

using testing::AsyncDevice;
using testing::AsyncOperation;

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Detector>()> make;
};

SsdConfig DetectingSsd() {
  SsdConfig config = TinySsd(TinyBackbone());
  config.set_score_threshold(0.2f);
  return config;
}

Kind Kinds[] = {
    {"Ssd", [] { return MakeSsd(DetectingSsd(), {}).value(); }},
    {"FasterRcnn", [] { return MakeFasterRcnn(TinyFasterRcnn(), {}).value(); }},
    {"RetinaNet", [] { return MakeRetinaNet(TinyRetinaNet(), {}).value(); }},
    {"Yolo", [] { return MakeYolo(TinyYolo(), {}).value(); }},
    {"PaddedFasterRcnn", [] { return MakeFasterRcnn(Padded(TinyFasterRcnn()), {}).value(); }},
    {"PaddedRetinaNet", [] { return MakeRetinaNet(Padded(TinyRetinaNet()), {}).value(); }},
    {"AnchorFreeYolo", [] { return MakeYolo(TinyAnchorFreeYolo(), {}).value(); }},
};

std::unique_ptr<AsyncDevice> RecordingDevice(uint64_t seed) {
  testing::AsyncDeviceOptions options;
  options.seed = seed;
  options.record = true;
  return testing::MakeAsyncDevice(options);
}

int64_t NumWaits(const AsyncDevice& device) {
  const std::vector<testing::AsyncLogEntry> log = device.log();
  return std::count_if(log.begin(), log.end(),
                       [](const auto& entry) { return entry.operation == AsyncOperation::kSynchronize; });
}

class AsyncDetectors : public ::testing::TestWithParam<std::tuple<Kind, uint64_t>> {
 protected:
  std::unique_ptr<Detector> Make() const { return std::get<0>(GetParam()).make(); }
  std::unique_ptr<AsyncDevice> NewDevice() const { return RecordingDevice(std::get<1>(GetParam())); }
};

TEST_P(AsyncDetectors, DetectAsTheCpuAndReadTheTableOnly) {
  const auto cpu = MakeTestModel(Make());
  auto device = NewDevice();
  AsyncDevice& log = *device;
  TestModel model(Make(), std::move(device));
  const std::vector<int> objects = {2, 1, 0};
  Context context(cpu->device());
  const Batch cpu_batch = cpu->MakeBatch(objects, 2, 5);
  const auto expected = cpu->detector().Detect(context, cpu_batch.images, cpu_batch.image_sizes);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_GT((*expected)[0].size(), 0u);

  const Batch batch = model.MakeBatch(objects, 2, 5);
  Context async_context(model.device());
  for (int round = 0; round < 2; ++round) {
    log.ClearLog();
    const auto found = model.detector().Detect(async_context, batch.images, batch.image_sizes);
    ASSERT_TRUE(found.ok()) << found.status();
    ExpectEqual(*found, *expected);
    // The rows and their counts; the first time also the anchors, to the device.
    EXPECT_EQ(NumWaits(log), round == 0 ? 3 : 2);
  }
}

TEST_P(AsyncDetectors, ARecordedStepHasTheLossesAndGradientsOfTheCpu) {
  const auto cpu = MakeTestModel(Make());
  auto device = NewDevice();
  AsyncDevice& log = *device;
  TestModel model(Make(), std::move(device));
  const Batch batch = model.MakeBatch({3, 0}, 4, 1);
  EXPECT_EQ(model.Step(batch, true), cpu->Step(cpu->MakeBatch({3, 0}, 4, 1), true));

  std::vector<Tensor> kept;
  log.ClearLog();
  model.device().BeginCapture();
  {
    Tape tape(model.arena().Vars(), nullptr);
    Context context(model.device());
    context.training = true;
    context.tape = &tape;
    auto losses = model.detector().Loss(context, batch);
    ASSERT_TRUE(losses.ok()) << losses.status();
    std::vector<Var> scalars;
    for (const auto& [name, loss] : *losses) {
      kept.push_back(loss.value());
      scalars.push_back(loss);
    }
    losses = NamedLosses();
    tape.Backward(scalars, context.stream());
  }
  const auto graph = model.device().EndCapture();
  EXPECT_EQ(NumWaits(log), 0);

  for (uint64_t seed : {2, 3}) {
    const std::vector<int> objects = {static_cast<int>(seed), 4};
    const Batch next = model.MakeBatch(objects, 4, seed);
    Stream& stream = model.device().compute_stream();
    batch.images.CopyFrom(next.images, stream);
    batch.boxes.CopyFrom(next.boxes, stream);
    batch.labels.CopyFrom(next.labels, stream);
    batch.random_keys.CopyFrom(next.random_keys, stream);
    if (batch.image_sizes.defined()) batch.image_sizes.CopyFrom(next.image_sizes, stream);
    graph->Launch();
    const std::vector<float> expected = cpu->Step(cpu->MakeBatch(objects, 4, seed), true);
    for (size_t k = 0; k < kept.size(); ++k) EXPECT_EQ(kept[k].ToVector<float>()[0], expected[k]);
    EXPECT_EQ(model.arena().gradients().ToVector<float>(), cpu->arena().gradients().ToVector<float>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, AsyncDetectors,
                         ::testing::Combine(::testing::ValuesIn(Kinds), ::testing::Range<uint64_t>(1, 13)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + "Seed" +
                                  std::to_string(std::get<1>(info.param));
                         });

class AsyncSelection : public ::testing::TestWithParam<uint64_t> {};

TEST_P(AsyncSelection, WaitsForNothing) {
  const auto device = RecordingDevice(GetParam());
  device->BindToThisThread();
  Random random(GetParam(), RandomUse::kSampling);
  const int64_t images = 2, count = 300;
  const int classes = 3;
  std::vector<Box> boxes;
  std::vector<float> scores;
  for (int64_t i = 0; i < images * count; ++i) {
    boxes.push_back(RandomBox(&random, 100, 5, 40));
    for (int c = 0; c <= classes; ++c) scores.push_back(static_cast<float>(random.Below(100)) / 100);
  }
  ScoredBoxes scored;
  scored.boxes = Tensor::Empty(*device, {images, count, 4});
  scored.boxes.CopyFromHost(boxes.data());
  scored.scores = Tensor::From(*device, {images, count, classes + 1}, scores);
  scored.first_class = 1;
  DetectionSelection selection;
  selection.top_k = 50;
  device->ClearLog();
  const DetectionTable table = SelectDetections(scored, selection, device->compute_stream());
  EXPECT_EQ(NumWaits(*device), 0);
  EXPECT_GT(device->pending(), 0);
  std::vector<Detections> expected;
  for (int64_t n = 0; n < images; ++n) {
    expected.push_back(ReferenceDetections(boxes.data() + n * count, scores.data() + n * count * (classes + 1), count,
                                           classes, selection));
  }
  ExpectEqual(ReadDetections(table), expected);
}

INSTANTIATE_TEST_SUITE_P(Seeds, AsyncSelection, ::testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace trireme

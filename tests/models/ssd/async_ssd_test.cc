// SSD on a device that runs beside the host: its detection work waits for nothing, reads nothing back but the table of
// detections, and can be recorded with a step.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/autograd/tape.h"
#include "models/nms/select_detections.h"
#include "tests/core/testing/async_device.h"
#include "tests/models/testing/model_fixture.h"
#include "tests/models/testing/random_boxes.h"
#include "tests/models/testing/reference_detections.h"

namespace trireme {
namespace {

using testing::AsyncDevice;
using testing::AsyncDeviceOptions;
using testing::AsyncOperation;

class AsyncSsd : public ::testing::TestWithParam<uint64_t> {
 protected:
  std::unique_ptr<AsyncDevice> NewDevice(bool record = false) {
    AsyncDeviceOptions options;
    options.seed = GetParam();
    options.record = record;
    return testing::MakeAsyncDevice(options);
  }
};

int64_t NumWaits(const AsyncDevice& device) {
  const std::vector<testing::AsyncLogEntry> log = device.log();
  return std::count_if(log.begin(), log.end(),
                       [](const auto& entry) { return entry.operation == AsyncOperation::kSynchronize; });
}

void ExpectEqual(const std::vector<Detections>& found, const std::vector<Detections>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t n = 0; n < found.size(); ++n) {
    ASSERT_EQ(found[n].size(), expected[n].size()) << "image " << n;
    for (size_t i = 0; i < found[n].size(); ++i) {
      EXPECT_EQ(found[n][i].score, expected[n][i].score);
      EXPECT_EQ(found[n][i].label, expected[n][i].label);
      EXPECT_EQ(found[n][i].box.x1, expected[n][i].box.x1);
      EXPECT_EQ(found[n][i].box.y2, expected[n][i].box.y2);
    }
  }
}

TEST_P(AsyncSsd, SelectsWithoutWaiting) {
  const auto device = NewDevice(/*record=*/true);
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

TEST_P(AsyncSsd, DetectsAsTheCpuAndReadsTheTableOnly) {
  SsdConfig config = TinySsd(TinyBackbone());
  config.set_score_threshold(0.2f);
  TestModel cpu(config);
  auto device = NewDevice(/*record=*/true);
  AsyncDevice& log = *device;
  TestModel model(config, std::move(device));
  const std::vector<int> objects = {2, 1, 0};
  Context context(cpu.device());
  const auto expected = cpu.detector().Detect(context, cpu.MakeBatch(objects, 2, 5).images);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_GT((*expected)[0].size(), 0u);

  const Batch batch = model.MakeBatch(objects, 2, 5);
  Context async_context(model.device());
  for (int round = 0; round < 2; ++round) {
    log.ClearLog();
    const auto found = model.detector().Detect(async_context, batch.images);
    ASSERT_TRUE(found.ok()) << found.status();
    ExpectEqual(*found, *expected);
    // The rows and their counts; the first time also the default boxes, to the device.
    EXPECT_EQ(NumWaits(log), round == 0 ? 3 : 2);
  }
}

TEST_P(AsyncSsd, ARecordedStepHasTheLossesAndGradientsOfTheCpu) {
  const SsdConfig config = TinySsd(TinyBackbone());
  TestModel cpu(config);
  auto device = NewDevice(/*record=*/true);
  AsyncDevice& log = *device;
  TestModel model(config, std::move(device));
  const Batch batch = model.MakeBatch({3, 0}, 4, 1);
  EXPECT_EQ(model.Step(batch, true), cpu.Step(cpu.MakeBatch({3, 0}, 4, 1), true));

  Tensor kept[2];
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
    for (size_t i = 0; i < 2; ++i) {
      kept[i] = (*losses)[i].second.value();
      scalars.push_back((*losses)[i].second);
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
    graph->Launch();
    const std::vector<float> expected = cpu.Step(cpu.MakeBatch(objects, 4, seed), true);
    EXPECT_EQ(kept[0].ToVector<float>()[0], expected[0]);
    EXPECT_EQ(kept[1].ToVector<float>()[0], expected[1]);
    EXPECT_EQ(model.arena().gradients().ToVector<float>(), cpu.arena().gradients().ToVector<float>());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AsyncSsd, ::testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace trireme

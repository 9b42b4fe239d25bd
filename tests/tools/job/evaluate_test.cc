// Evaluation shared between workers.
#include "tools/job/evaluate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "core/base/files.h"
#include "data/shapes/shapes.h"
#include "models/yolo/yolo.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/models/testing/tiny_detectors.h"
#include "tests/parallel/testing/jobs.h"
#include "tools/job/pictures.h"

namespace trireme {
namespace {

constexpr int kSize = 32;

// Finds what follows from an image's pixels alone: three boxes, with scores of which many are equal.
class PixelDetector : public Detector {
 public:
  ImageSpec image_spec() const override { return {kSize, kSize}; }
  StatusOr<NamedLosses> Loss(Context&, const Batch&) override { return absl::UnimplementedError("it is not trained"); }
  StatusOr<std::vector<Detections>> Detect(Context&, const Tensor& images, const Tensor&) override {
    std::vector<Detections> all;
    const std::vector<uint8_t> pixels = images.ToVector<uint8_t>();
    const int64_t each = int64_t{3} * kSize * kSize;
    for (int64_t image = 0; image < images.dim(0); ++image) {
      uint64_t sum = 0;
      for (int64_t i = 0; i < each; ++i) sum += pixels[image * each + i] * static_cast<uint64_t>(1 + i % 7);
      Random random(sum, RandomUse::kSynthesis);
      Detections detections;
      for (int k = 3; k > 0; --k) {
        const float x = random.Uniform(0, 16), y = random.Uniform(0, 16);
        detections.push_back({{x, y, x + random.Uniform(4, 16), y + random.Uniform(4, 16)},
                              static_cast<int>(random.Below(2)),
                              0.25f * static_cast<float>(k)});
      }
      all.push_back(detections);
    }
    return all;
  }
};

ShapesDatasetConfig Scenes(int64_t num_images) {
  ShapesDatasetConfig scenes;
  scenes.set_num_images(num_images);
  scenes.set_width(kSize);
  scenes.set_height(kSize);
  scenes.set_max_objects(2);
  scenes.add_class_names("circle");
  scenes.add_class_names("square");
  return scenes;
}

StatusOr<EvaluationReport> EvaluateOn(const Dataset& data, const ReadyDetector& ready, int batch_size,
                                      Communicator& communicator, const std::atomic<bool>* stop_requested) {
  Config config;
  config.mutable_evaluation()->set_batch_size(batch_size);
  config.mutable_loader()->set_threads(2);
  FaultLog faults;
  TRIREME_ASSIGN_OR_RETURN(const DetectionEvaluator found,
                           DetectAll(ready, data, config, communicator, &faults, stop_requested));
  return MakeReport(found, data.class_names(), config.evaluation());
}

// Evaluates on `num_images` scenes with `detectors`, one for each rank.
Status EvaluateWith(const std::vector<Detector*>& detectors, int64_t num_images, int batch_size,
                    std::vector<EvaluationReport>* reports, double timeout_seconds = 60,
                    const std::atomic<bool>* stop_requested = nullptr) {
  FaultLog faults;
  const auto data = MakeShapes(Scenes(num_images), {&faults}).value();
  reports->resize(detectors.size());
  return RunJob(
      static_cast<int>(detectors.size()),
      [&](Communicator& communicator, Device& device) -> Status {
        const size_t rank = static_cast<size_t>(communicator.rank());
        TRIREME_ASSIGN_OR_RETURN((*reports)[rank], EvaluateOn(*data, {*detectors[rank], Precision::kFloat32, device, 2},
                                                              batch_size, communicator, stop_requested));
        return absl::OkStatus();
      },
      timeout_seconds);
}

EvaluationReport Evaluate(int world, int64_t num_images, int batch_size) {
  PixelDetector detector;  // has no state
  std::vector<EvaluationReport> reports;
  const Status status =
      EvaluateWith(std::vector<Detector*>(static_cast<size_t>(world), &detector), num_images, batch_size, &reports);
  EXPECT_TRUE(status.ok()) << status;
  for (const EvaluationReport& report : reports) EXPECT_EQ(report, reports[0]);
  return reports[0];
}

TEST(EvaluateTest, GivesTheSameForAnyNumberOfWorkers) {
  const EvaluationReport one = Evaluate(1, 60, 8);
  EXPECT_GT(one[0].second, 0) << "or there is nothing to compare";
  EXPECT_LT(one[0].second, 1);
  for (int world : {2, 3, 4, 7}) {
    for (int batch_size : {1, 8}) EXPECT_EQ(Evaluate(world, 60, batch_size), one) << world << " workers";
  }
}

TEST(EvaluateTest, FewerImagesThanWorkersWillDo) {
  for (int64_t num_images : {1, 2, 3}) {
    const EvaluationReport one = Evaluate(1, num_images, 8);
    for (int world : {2, 3, 5}) {
      EXPECT_EQ(Evaluate(world, num_images, 8), one) << num_images << " images, " << world << " workers";
    }
  }
}

// Takes its time with each image, counts batches, and may fail in the first.
class SlowDetector : public PixelDetector {
 public:
  explicit SlowDetector(double seconds, Status status = absl::OkStatus())
      : seconds_(seconds), status_(std::move(status)) {}
  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images, const Tensor& sizes) override {
    ++batches;
    TRIREME_RETURN_IF_ERROR(status_);
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds_ * static_cast<double>(images.dim(0))));
    if (on_batch) on_batch();
    return PixelDetector::Detect(context, images, sizes);
  }

  std::atomic<int> batches{0};
  std::function<void()> on_batch;

 private:
  const double seconds_;
  const Status status_;
};

// 30 images of 150 ms each, by one of them alone, are longer than any may wait.
TEST(EvaluateTest, AWorkerThatIsSlowerIsNoFault) {
  PixelDetector fast;
  SlowDetector slow(0.15);
  std::vector<EvaluationReport> reports;
  const Status status = EvaluateWith({&fast, &slow}, 60, 8, &reports, /*timeout_seconds=*/3);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(slow.batches, 4);
  EXPECT_EQ(reports[0], Evaluate(1, 60, 8));
}

// A data set whose images take long to be read, on one of the ranks.
class SlowData : public Dataset {
 public:
  SlowData(const Dataset& data, int64_t slow_from, double seconds)
      : data_(data), slow_from_(slow_from), seconds_(seconds) {}
  int64_t size() const override { return data_.size(); }
  const std::vector<std::string>& class_names() const override { return data_.class_names(); }
  int max_objects() const override { return data_.max_objects(); }
  Status Get(int64_t index, Sample* sample) const override {
    if (index % 2 == 1 && index >= slow_from_) {
      std::this_thread::sleep_for(std::chrono::duration<double>(seconds_));
    }
    return data_.Get(index, sample);
  }

 private:
  const Dataset& data_;
  const int64_t slow_from_;
  const double seconds_;
};

// One image takes longer than any may wait.
TEST(EvaluateTest, AnImageThatIsSlowToReadIsNoFault) {
  FaultLog faults;
  const auto data = MakeShapes(Scenes(20), {&faults}).value();
  const SlowData slow(*data, 19, 4.5);
  EvaluationReport report;
  const Status status = RunJob(
      2,
      [&](Communicator& communicator, Device& device) -> Status {
        PixelDetector detector;
        TRIREME_ASSIGN_OR_RETURN(
            const EvaluationReport mine,
            EvaluateOn(slow, {detector, Precision::kFloat32, device, 2}, 8, communicator, nullptr));
        if (communicator.rank() == 0) report = mine;
        return absl::OkStatus();
      },
      /*timeout_seconds=*/1.5);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(report, Evaluate(1, 20, 8));
}

TEST(EvaluateTest, WhoFailsEndsThePeersEvaluationSoon) {
  SlowDetector failing(0, absl::InternalError("it is broken")), other(0.002);
  std::vector<EvaluationReport> reports;
  const Status status = EvaluateWith({&failing, &other}, 400, 4, &reports);
  EXPECT_NE(std::string(status.message()).find("it is broken"), std::string::npos) << status;
  EXPECT_LT(other.batches, 3);
}

TEST(EvaluateTest, NobodyWaitsForASlowerOneAfterEachBatch) {
  SlowDetector fast(0), slow(0.02);
  int of_fast = 0;
  slow.on_batch = [&] {
    if (slow.batches == 5) of_fast = fast.batches;
  };
  std::vector<EvaluationReport> reports;
  ASSERT_TRUE(EvaluateWith({&fast, &slow}, 80, 4, &reports).ok());
  EXPECT_EQ(slow.batches, 10);
  EXPECT_GT(of_fast, 6) << "it met the slow one after each batch";
}

TEST(EvaluateTest, AStopEndsItOnAllRanks) {
  std::atomic<bool> stop{false};
  SlowDetector first(0.002), second(0.002), third(0.002);
  second.on_batch = [&] { stop = second.batches >= 3; };
  std::vector<EvaluationReport> reports;
  const Status status = EvaluateWith({&first, &second, &third}, 600, 4, &reports, 60, &stop);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_EQ(second.batches, 3);
  for (const SlowDetector* detector : {&first, &third}) EXPECT_LT(detector->batches, 50) << "it came to its end";
}

// Rank 0 takes longer for all pictures together than any may wait.
TEST(WritePicturesTest, PeersWaitForEachPicture) {
  const testing::TemporaryFolder folder;
  FaultLog faults;
  const auto data = MakeShapes(Scenes(6), {&faults}).value();
  const Status status = RunJob(
      2,
      [&](Communicator& communicator, Device& device) -> Status {
        SlowDetector detector(0.6);
        TRIREME_RETURN_IF_ERROR(WritePictures({detector, Precision::kFloat32, device, 2}, *data, 5, 0.4f, communicator,
                                              folder / "pictures"));
        EXPECT_EQ(detector.batches, communicator.rank() == 0 ? 5 : 0);
        return absl::OkStatus();
      },
      /*timeout_seconds=*/2);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(PathExists(folder / "pictures/004.jpg"));
  EXPECT_FALSE(PathExists(folder / "pictures/005.jpg"));
}

// Finds the whole of each image, and its left half.
class WholeDetector : public Detector {
 public:
  ImageSpec image_spec() const override { return {50, 60, {16, 32}, 48}; }
  StatusOr<NamedLosses> Loss(Context&, const Batch&) override { return absl::UnimplementedError("it is not trained"); }
  StatusOr<std::vector<Detections>> Detect(Context&, const Tensor& images, const Tensor& image_sizes) override {
    pixels = images.ToVector<uint8_t>();
    sizes = image_sizes.ToVector<float>();
    std::vector<Detections> all;
    for (size_t n = 0; n < sizes.size() / 2; ++n) {
      const float height = sizes[2 * n], width = sizes[2 * n + 1];
      all.push_back({{{0, 0, width, height}, 0, 0.9f}, {{0, 0, width / 2, height}, 1, 0.8f}});
    }
    return all;
  }

  std::vector<uint8_t> pixels;
  std::vector<float> sizes;
};

TEST(DetectImageTest, GivesThePixelsOfTheImageThatWasPadded) {
  const auto device = MakeDevice("cpu", 1).value();
  device->BindToThisThread();
  WholeDetector detector;
  for (const auto& [width, height, to_width, to_height] :
       {std::tuple{40, 80, 24, 48}, {80, 40, 48, 24}, {20, 30, 32, 48}, {10, 10, 32, 32}, {7, 300, 1, 48}}) {
    Image image(width, height);
    std::fill(image.data.begin(), image.data.end(), static_cast<uint8_t>(9));
    const auto found = DetectImage({detector, Precision::kFloat32, *device, 20}, image);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(detector.sizes, (std::vector<float>{static_cast<float>(to_height), static_cast<float>(to_width)}));
    for (int i = 0; i < 50 * 60; ++i) {
      ASSERT_EQ(detector.pixels[3 * i], i % 60 < to_width && i / 60 < to_height ? 9 : 0) << i;
    }
    ASSERT_EQ(found->size(), 2u);
    EXPECT_FLOAT_EQ((*found)[0].box.x2, static_cast<float>(width));
    EXPECT_FLOAT_EQ((*found)[0].box.y2, static_cast<float>(height));
    EXPECT_FLOAT_EQ((*found)[1].box.x2, static_cast<float>(width) / 2);
  }
}

// At scale 1 nothing is resampled, so the letterbox can be made by hand.
TEST(DetectImageTest, GivesThePixelsOfTheImageInALetterbox) {
  const auto device = MakeDevice("cpu", 1).value();
  device->BindToThisThread();
  YoloConfig config = TinyYolo();
  config.set_letterbox(true);
  config.mutable_anchors()->mutable_map(0)->set_sizes(1, 3);  // so low that some lie in the grey alone
  const auto detector = MakeYolo(config, {}).value();
  const auto arena = ParameterArena::Build(detector.get(), *device, 1, 1).value();
  Image image(64, 48);
  Random random(1, RandomUse::kSynthesis);
  for (uint8_t& value : image.data) value = static_cast<uint8_t>(random.Below(256));
  std::vector<uint8_t> by_hand(64 * 64 * 3, 127);
  std::copy(image.data.begin(), image.data.end(), by_hand.begin() + 8 * 64 * 3);
  Context context(*device);
  const auto boxed = detector->Detect(context, Tensor::From(*device, {1, 64, 64, 3}, by_hand));
  ASSERT_TRUE(boxed.ok()) << boxed.status();
  Detections expected;
  for (Detection detection : (*boxed)[0]) {
    detection.box.y1 = std::max(0.0f, detection.box.y1 - 8);
    detection.box.y2 = std::min(48.0f, detection.box.y2 - 8);
    if (detection.box.y2 > detection.box.y1) expected.push_back(detection);
  }
  ASSERT_GT(expected.size(), 10u);
  EXPECT_LT(expected.size(), (*boxed)[0].size()) << "or nothing lay in the grey";
  const auto found = DetectImage({*detector, Precision::kFloat32, *device, 20}, image);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ((*found)[i].label, expected[i].label);
    EXPECT_EQ((*found)[i].score, expected[i].score);
    EXPECT_FLOAT_EQ((*found)[i].box.x1, expected[i].box.x1);
    EXPECT_FLOAT_EQ((*found)[i].box.y1, expected[i].box.y1);
    EXPECT_FLOAT_EQ((*found)[i].box.x2, expected[i].box.x2);
    EXPECT_FLOAT_EQ((*found)[i].box.y2, expected[i].box.y2);
  }
}

}  // namespace
}  // namespace trireme

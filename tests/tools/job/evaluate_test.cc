// Evaluation shared between workers.
#include "tools/job/evaluate.h"

#include <gtest/gtest.h>

#include "data/shapes/shapes.h"
#include "tests/parallel/testing/jobs.h"

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

EvaluationReport Evaluate(int world, int64_t num_images, int batch_size) {
  ShapesDatasetConfig scenes;
  scenes.set_num_images(num_images);
  scenes.set_width(kSize);
  scenes.set_height(kSize);
  scenes.set_max_objects(2);
  scenes.add_class_names("circle");
  scenes.add_class_names("square");
  FaultLog faults;
  const auto data = MakeShapes(scenes, {&faults}).value();
  EvaluationConfig config;
  config.set_batch_size(batch_size);
  std::vector<EvaluationReport> reports(world);
  const Status status = RunJob(world, [&](Communicator& communicator, Device& device) -> Status {
    PixelDetector detector;
    TRIREME_ASSIGN_OR_RETURN(
        reports[communicator.rank()],
        EvaluateDetector(detector, *data, config, 2, Precision::kFloat32, device, communicator, &faults));
    return absl::OkStatus();
  });
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
    const auto found = DetectImage(detector, image, Precision::kFloat32, *device);
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

}  // namespace
}  // namespace trireme

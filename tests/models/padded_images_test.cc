// Detectors on images that are padded to one shape.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>

#include "models/anchors/anchors_of_images.h"
#include "models/faster_rcnn/faster_rcnn.h"
#include "models/retinanet/retinanet.h"
#include "tests/models/testing/detector_checks.h"
#include "tests/models/testing/reference_detections.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Detector>(bool padded)> make;
};

Kind Kinds[] = {
    {"FasterRcnn",
     [](bool padded) {
       FasterRcnnConfig config = padded ? Padded(TinyFasterRcnn()) : TinyFasterRcnn();
       config.set_score_threshold(0);
       return MakeFasterRcnn(config, {}).value();
     }},
    {"RetinaNet",
     [](bool padded) {
       RetinaNetConfig config = padded ? Padded(TinyRetinaNet()) : TinyRetinaNet();
       config.set_score_threshold(0);
       return MakeRetinaNet(config, {}).value();
     }},
};

class PaddedImages : public ::testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<TestModel> Make(bool padded = true) const { return MakeTestModel(GetParam().make(padded)); }
};

// Another batch that differs in the padding's pixels only.
Batch WithOtherPadding(const Batch& batch, Device& device) {
  Batch other = batch;
  std::vector<uint8_t> pixels = batch.images.ToVector<uint8_t>();
  const std::vector<float> sizes = batch.image_sizes.ToVector<float>();
  const int64_t height = batch.images.dim(1), width = batch.images.dim(2);
  int64_t changed = 0;
  for (int64_t i = 0; i < batch.images.size() / 3; ++i) {
    const int64_t x = i % width, y = i / width % height, n = i / width / height;
    if (static_cast<float>(y) < sizes[2 * n] && static_cast<float>(x) < sizes[2 * n + 1]) continue;
    for (int c = 0; c < 3; ++c) pixels[3 * i + c] = static_cast<uint8_t>(255 - pixels[3 * i + c]);
    ++changed;
  }
  EXPECT_GT(changed, 100);
  other.images = Tensor::From(device, batch.images.shape(), pixels);
  return other;
}

TEST_P(PaddedImages, WhatIsInThePaddingMeansNothing) {
  const auto model = Make();
  const Batch batch = model->MakeBatch({3, 1, 0}, 4, 2), other = WithOtherPadding(batch, model->device());
  EXPECT_EQ(model->Step(batch, false), model->Step(other, false));
  Context context(model->device());
  const auto of_batch = model->detector().Detect(context, batch.images, batch.image_sizes);
  const auto of_other = model->detector().Detect(context, other.images, other.image_sizes);
  ASSERT_TRUE(of_batch.ok() && of_other.ok()) << of_batch.status() << of_other.status();
  ExpectEqual(*of_batch, *of_other);
  // It would, if it were not padding.
  Batch whole = batch, other_whole = other;
  whole.image_sizes = other_whole.image_sizes = Tensor();
  EXPECT_NE(model->Step(whole, false), model->Step(other_whole, false));
}

TEST_P(PaddedImages, WithoutPaddingAreThoseOfAFixedSize) {
  const auto model = Make(), fixed = Make(false);
  const Batch plain = fixed->MakeBatch({3, 1, 0}, 4, 2);
  Batch batch = plain;
  batch.image_sizes = Tensor::From<float>(model->device(), {3, 2}, {64, 64, 64, 64, 64, 64});
  EXPECT_EQ(model->Step(batch, true), fixed->Step(plain, true));
  EXPECT_EQ(model->arena().gradients().ToVector<float>(), fixed->arena().gradients().ToVector<float>());
  Context context(model->device());
  const auto padded = model->detector().Detect(context, batch.images, batch.image_sizes);
  const auto unpadded = fixed->detector().Detect(context, batch.images);
  ASSERT_TRUE(padded.ok() && unpadded.ok()) << padded.status() << unpadded.status();
  ExpectEqual(*padded, *unpadded);
}

TEST_P(PaddedImages, DetectionsLieWithinThem) {
  const auto model = Make();
  const Batch batch = model->MakeBatch({3, 1, 0, 2}, 4, 3);
  Context context(model->device());
  const auto found = model->detector().Detect(context, batch.images, batch.image_sizes);
  ASSERT_TRUE(found.ok()) << found.status();
  const std::vector<float> sizes = batch.image_sizes.ToVector<float>();
  for (size_t n = 0; n < found->size(); ++n) {
    EXPECT_GT((*found)[n].size(), 5u);
    for (const Detection& detection : (*found)[n]) {
      EXPECT_GE(detection.box.x1, 0);
      EXPECT_GE(detection.box.y1, 0);
      EXPECT_LE(detection.box.x2, sizes[2 * n + 1]);
      EXPECT_LE(detection.box.y2, sizes[2 * n]);
    }
  }
}

TEST_P(PaddedImages, WorkersAddUpToOne) {
  ExpectWorkersAddUp([this] { return Make(); });
}

TEST_P(PaddedImages, ReachEveryParameter) {
  const auto model = Make();
  for (const float loss : model->Step(model->MakeBatch({3, 1, 2}, 4, 1), true)) EXPECT_TRUE(std::isfinite(loss));
  ExpectEveryParameterHasAGradient(*model);
}

TEST_P(PaddedImages, SizesOfAnotherNumberAreRefused) {
  const auto model = Make();
  Batch batch = model->MakeBatch({3, 1, 2}, 4, 1);
  batch.image_sizes = Tensor::From<float>(model->device(), {1, 2}, {64, 64});
  Context context(model->device());
  EXPECT_EQ(model->detector().Loss(context, batch).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(All, PaddedImages, ::testing::ValuesIn(Kinds),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(AnchorsOfImages, HaveNoAreaInThePadding) {
  const auto device = *MakeDevice("cpu", 1);
  device->BindToThisThread();
  // Centres: (5, 5), (10, 5), (15, 30), (0, 0), (-1, 5).
  const std::vector<float> boxes = {0, 0, 10, 10, 5, 0, 15, 10, 10, 20, 20, 40, -4, -4, 4, 4, -6, 0, 4, 10};
  const Tensor anchors = Tensor::From(*device, {5, 4}, boxes);
  const Tensor sizes = Tensor::From<float>(*device, {3, 2}, {40, 20, 30, 20, 40, 10});
  const std::vector<float> found =
      AnchorsOfImages(anchors, ImageSizes(sizes, 20, 40), 3, device->compute_stream()).ToVector<float>();
  const bool expected[3][5] = {
      {true, true, true, true, false}, {true, true, false, true, false}, {true, false, false, true, false}};
  for (int n = 0; n < 3; ++n) {
    for (int a = 0; a < 5; ++a) {
      for (int c = 0; c < 4; ++c) {
        EXPECT_EQ(found[(n * 5 + a) * 4 + c], expected[n][a] ? boxes[a * 4 + c] : 0) << n << ", " << a;
      }
    }
  }
}

TEST(KeepAspect, NumbersThatMakeNoSenseAreRefused) {
  FasterRcnnConfig config = Padded(TinyFasterRcnn());
  config.mutable_keep_aspect()->add_min_size(65);
  const Status status = MakeFasterRcnn(config, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("keep_aspect.min_size is 65"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace trireme

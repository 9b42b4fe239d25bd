// YOLO without anchors.
#include <gtest/gtest.h>

#include <cmath>

#include "models/yolo/yolo.h"
#include "tests/models/testing/detector_checks.h"
#include "tests/models/testing/module_contents.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

std::unique_ptr<TestModel> MakeModel(const YoloConfig& config, Precision precision = Precision::kFloat32) {
  return MakeTestModel(MakeYolo(config, {}).value(), precision);
}

TEST(AnchorFreeYolo, LossesAreFiniteAndReachEveryParameter) {
  for (const NormConfig::Mode norm : {NormConfig::FROZEN, NormConfig::PER_WORKER}) {
    const auto model = MakeModel(TinyAnchorFreeYolo(norm));
    const std::vector<float> losses = model->Step(model->MakeBatch({3, 1, 2}, 4, 1), true);
    ASSERT_EQ(losses.size(), 2u);
    for (const float value : losses) EXPECT_GT(value, 0);
    EXPECT_TRUE(std::isfinite(Total(losses)));
    ExpectEveryParameterHasAGradient(*model);
  }
}

TEST(AnchorFreeYolo, NamesItsLosses) {
  const auto model = MakeModel(TinyAnchorFreeYolo());
  Context context(model->device());
  const auto losses = model->detector().Loss(context, model->MakeBatch({1}, 1, 1));
  ASSERT_TRUE(losses.ok()) << losses.status();
  ASSERT_EQ(losses->size(), 2u);
  EXPECT_EQ((*losses)[0].first, "box");
  EXPECT_EQ((*losses)[1].first, "classification");
}

TEST(AnchorFreeYolo, ImagesWithoutObjectsAreLegal) {
  const auto model = MakeModel(TinyAnchorFreeYolo());
  for (int places : {3, 0}) {
    const std::vector<float> none = model->Step(model->MakeBatch({0, 0}, places, 2), true);
    EXPECT_EQ(none[0], 0);
    EXPECT_GT(none[1], 0) << "the background is trained";
    for (const float value : model->arena().gradients().ToVector<float>()) ASSERT_TRUE(std::isfinite(value));
  }
}

// Of the classifiers: targets follow the boxes here, so that they stay where they are when the scores move. The boxes'
// own functions have tests of their own.
TEST(AnchorFreeYolo, GradientIsTheSlopeOfTheLoss) {
  YoloConfig config = TinyAnchorFreeYolo();
  config.set_classification_weight(0.5f);
  config.mutable_anchor_free()->set_alpha(0);
  const auto model = MakeModel(config);
  ScaleWeights(model.get(), "head.classification.0.output", 10);
  ScaleWeights(model.get(), "head.classification.1.output", 10);
  const ModuleContents contents(&model->detector());
  for (const auto& [name, parameter] : contents.parameters) {
    if (name.rfind("head.classification.", 0) != 0) parameter->options.trainable = false;
  }
  ExpectGradientIsTheSlope(*model, model->MakeBatch({4, 5}, 5, 4), 0.03, 1e-3);
}

TEST(AnchorFreeYolo, WorkersAddUpToOne) {
  for (const NormConfig::Mode norm : {NormConfig::FROZEN, NormConfig::SYNCHRONIZED}) {
    ExpectWorkersAddUp([norm] { return MakeModel(TinyAnchorFreeYolo(norm)); });
  }
}

TEST(AnchorFreeYolo, LossesAndGradientsIn16BitsAreThoseOfFloat32) {
  Expect16BitsToBeClose([](Precision precision) { return MakeModel(TinyAnchorFreeYolo(), precision); });
}

TEST(AnchorFreeYolo, LearnsTwoImagesAndDetectsTheirObjects) {
  YoloConfig config = TinyAnchorFreeYolo();
  config.set_box_weight(5);
  const auto model = MakeModel(config);
  const Batch batch = model->MakeBatch({2, 1}, 2, 5);
  const float first = Total(model->Step(batch, true));
  float last = first;
  for (int step = 0; step < 600; ++step) {
    last = Total(model->Step(batch, true));
    model->Descend(step < 50 ? 0.01f : step < 400 ? 0.03f : 0.01f);
  }
  EXPECT_LT(last, 0.5f * first);
  ExpectFindsObjects(*model, batch);
}

TEST(AnchorFreeYolo, RefusesWhatCannotWork) {
  const auto error = [](const YoloConfig& config) {
    const Status status = MakeYolo(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  YoloConfig config = TinyAnchorFreeYolo();
  config.mutable_anchor_free()->set_top_k(0);
  EXPECT_NE(error(config).find("anchor_free.top_k is 0"), std::string::npos) << error(config);
  config = TinyAnchorFreeYolo();
  config.mutable_anchor_free()->set_channels(0);
  EXPECT_NE(error(config).find("anchor_free.channels is 0"), std::string::npos) << error(config);
  config = TinyAnchorFreeYolo();
  config.mutable_anchor_free()->set_prior_probability(1);
  EXPECT_NE(error(config).find("anchor_free.prior_probability is 1"), std::string::npos) << error(config);
}

}  // namespace
}  // namespace trireme

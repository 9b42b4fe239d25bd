#include "models/retinanet/retinanet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/random.h"
#include "models/backbones/resnet.pb.h"
#include "models/boxes/box_geometry.h"
#include "tests/models/testing/detector_checks.h"
#include "tests/models/testing/module_contents.h"
#include "tests/models/testing/random_boxes.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

std::unique_ptr<TestModel> MakeModel(const RetinaNetConfig& config, Precision precision = Precision::kFloat32) {
  return MakeTestModel(MakeRetinaNet(config, {}).value(), precision);
}

std::unique_ptr<TestModel> MakeWarmModel(const RetinaNetConfig& config, Precision precision = Precision::kFloat32) {
  auto model = MakeModel(config, precision);
  ScaleWeights(model.get(), "head.", 10);
  return model;
}

TEST(RetinaNet, LossesAreFiniteAndReachEveryParameter) {
  for (const NormConfig::Mode norm : {NormConfig::FROZEN, NormConfig::PER_WORKER}) {
    const auto model = MakeModel(TinyRetinaNet(norm));
    const std::vector<float> losses = model->Step(model->MakeBatch({3, 1, 2}, 4, 1), true);
    ASSERT_EQ(losses.size(), 2u);
    EXPECT_GT(losses[0], 0);
    EXPECT_GT(losses[1], 0);
    EXPECT_TRUE(std::isfinite(Total(losses)));
    ExpectEveryParameterHasAGradient(*model);
  }
}

TEST(RetinaNet, NamesItsLossesAsTorchvision) {
  const auto model = MakeModel(TinyRetinaNet());
  Context context(model->device());
  const auto losses = model->detector().Loss(context, model->MakeBatch({1}, 1, 1));
  ASSERT_TRUE(losses.ok()) << losses.status();
  ASSERT_EQ(losses->size(), 2u);
  EXPECT_EQ((*losses)[0].first, "classification");
  EXPECT_EQ((*losses)[1].first, "bbox_regression");
}

TEST(RetinaNet, HasTheWeightsOfTorchvision) {
  ResNetConfig body;
  FpnConfig pyramid;
  pyramid.mutable_backbone()->set_type_url("backbone/resnet");
  pyramid.mutable_backbone()->set_value(body.SerializeAsString());
  pyramid.set_extra(FpnConfig::P6_P7);
  RetinaNetConfig config;
  config.set_num_classes(91);  // torchvision's, with the background
  config.mutable_backbone()->set_type_url("backbone/fpn");
  config.mutable_backbone()->set_value(pyramid.SerializeAsString());
  const auto made = MakeRetinaNet(config, {});
  ASSERT_TRUE(made.ok()) << made.status();
  const ModuleContents contents(made->get());
  // torchvision counts 34,014,999.
  EXPECT_EQ(contents.num_weights_but_norms(), 34014999);
  ExpectNames(contents, {"backbone.body.layer4.2.conv3.weight", "backbone.fpn.inner_blocks.2.0.bias",
                         "backbone.fpn.extra_blocks.p7.weight", "head.classification_head.conv.3.0.weight",
                         "head.classification_head.cls_logits.bias", "head.regression_head.conv.0.0.bias",
                         "head.regression_head.bbox_reg.weight"});
}

// By the words of torchvision's compute_loss, image by image in float64; or divided by the objects' anchors of all.
std::pair<double, double> NaiveLosses(const std::vector<float>& logits, const std::vector<float>& offsets,
                                      const std::vector<Box>& anchors, const std::vector<Box>& boxes,
                                      const std::vector<int32_t>& labels, int images, int classes,
                                      RetinaNetConfig::Normalizer normalizer) {
  const int count = static_cast<int>(anchors.size()), places = static_cast<int>(boxes.size()) / images;
  double classification = 0, regression = 0, all_foreground = 0;
  for (int n = 0; n < images; ++n) {
    std::vector<int> matched(count, -1), all(count, -1);
    std::vector<float> best_of_object(places, 0.0f);
    for (int a = 0; a < count; ++a) {
      float best = -1;
      for (int g = 0; g < places; ++g) {
        if (labels[n * places + g] < 0) continue;
        const float iou = Iou(anchors[a], boxes[n * places + g]);
        best_of_object[g] = std::max(best_of_object[g], iou);
        if (iou > best) {
          best = iou;
          all[a] = g;
        }
      }
      matched[a] = best >= 0.5f ? all[a] : best < 0.4f ? -1 : -2;
    }
    for (int g = 0; g < places; ++g) {
      for (int a = 0; a < count; ++a) {
        if (labels[n * places + g] < 0) continue;
        const float iou = Iou(anchors[a], boxes[n * places + g]);
        if (iou > 0 && iou == best_of_object[g]) matched[a] = all[a];
      }
    }
    double image_classification = 0, image_regression = 0, foreground = 0;
    for (int a = 0; a < count; ++a) {
      if (matched[a] == -2) continue;
      for (int c = 0; c < classes; ++c) {
        const bool is_label = matched[a] >= 0 && labels[n * places + matched[a]] == c;
        const double s = 1 / (1 + std::exp(-static_cast<double>(logits[(n * count + a) * classes + c])));
        const double p = is_label ? s : 1 - s;
        image_classification -= (is_label ? 0.25 : 0.75) * (1 - p) * (1 - p) * std::log(p);
      }
      if (matched[a] < 0) continue;
      ++foreground;
      const Box& box = boxes[n * places + matched[a]];
      const double width = anchors[a].width(), height = anchors[a].height();
      const double wanted[] = {((box.x1 + box.x2) / 2 - (anchors[a].x1 + anchors[a].x2) / 2) / width,
                               ((box.y1 + box.y2) / 2 - (anchors[a].y1 + anchors[a].y2) / 2) / height,
                               std::log(box.width() / width), std::log(box.height() / height)};
      for (int d = 0; d < 4; ++d) image_regression += std::abs(offsets[(n * count + a) * 4 + d] - wanted[d]);
    }
    const double divisor = normalizer == RetinaNetConfig::IMAGE ? std::max(1.0, foreground) * images : 1;
    classification += image_classification / divisor;
    regression += image_regression / divisor;
    all_foreground += foreground;
  }
  if (normalizer == RetinaNetConfig::IMAGE) return {classification, regression};
  return {classification / all_foreground, regression / all_foreground};
}

TEST(RetinaNet, LossesAreThoseOfTheDefinition) {
  Random random(9, RandomUse::kSampling);
  const int images = 3, places = 4, classes = 3, count = 400;
  std::vector<Box> anchors, boxes;
  std::vector<int32_t> labels;
  for (int a = 0; a < count; ++a) anchors.push_back(RandomBox(&random, 60, 6, 40));
  for (int i = 0; i < images * places; ++i) {
    boxes.push_back(RandomBox(&random, 60, 6, 40));
    // The last image has no objects.
    labels.push_back(i < 8 && i % 4 != 2 ? static_cast<int32_t>(random.Below(classes)) : -1);
  }
  std::vector<float> logits, offsets;
  for (int i = 0; i < images * count * classes; ++i) logits.push_back(random.Uniform(-4, 2));
  for (int i = 0; i < images * count * 4; ++i) offsets.push_back(random.Uniform(-1, 1));
  const auto device = *MakeDevice("cpu", 1);
  device->BindToThisThread();
  Batch batch;
  batch.boxes = Tensor::Empty(*device, {images, places, 4});
  batch.boxes.CopyFromHost(boxes.data());
  batch.labels = Tensor::From(*device, {images, places}, labels);
  const Tensor anchor_tensor = Tensor::Empty(*device, {count, 4});
  anchor_tensor.CopyFromHost(anchors.data());
  Context context(*device);
  for (const auto normalizer : {RetinaNetConfig::IMAGE, RetinaNetConfig::BATCH}) {
    RetinaNetConfig config;
    config.set_normalizer(normalizer);
    const auto losses = RetinaNetLosses(context, config, Var(Tensor::From(*device, {images, count, classes}, logits)),
                                        Var(Tensor::From(*device, {images, count, 4}, offsets)), anchor_tensor, batch);
    ASSERT_TRUE(losses.ok()) << losses.status();
    const auto [classification, regression] =
        NaiveLosses(logits, offsets, anchors, boxes, labels, images, classes, normalizer);
    EXPECT_NEAR((*losses)[0].second.value().ToVector<float>()[0], classification, 1e-5 * classification);
    EXPECT_NEAR((*losses)[1].second.value().ToVector<float>()[0], regression, 1e-5 * regression);
  }
}

TEST(RetinaNet, ImagesWithoutObjectsAreLegal) {
  for (const auto normalizer : {RetinaNetConfig::IMAGE, RetinaNetConfig::BATCH}) {
    RetinaNetConfig config = TinyRetinaNet();
    config.set_normalizer(normalizer);
    const auto model = MakeModel(config);
    for (int places : {3, 0}) {
      const std::vector<float> none = model->Step(model->MakeBatch({0, 0}, places, 2), true);
      EXPECT_GT(none[0], 0) << "the background is trained";
      EXPECT_TRUE(std::isfinite(none[0]));
      EXPECT_EQ(none[1], 0);
    }
  }
}

TEST(RetinaNet, LossesAreTheMeanOfTheImages) {
  const auto model = MakeModel(TinyRetinaNet());
  const Batch batch = model->MakeBatch({2, 0}, 3, 3);
  const std::vector<float> both = model->Step(batch, true);
  const std::vector<float> first = model->Step(batch.Slice(0, 1), false);
  const std::vector<float> second = model->Step(batch.Slice(1, 2), false);
  for (int k = 0; k < 2; ++k) EXPECT_NEAR(both[k], (first[k] + second[k]) / 2, 1e-5 * both[k]);
}

TEST(RetinaNet, GradientIsTheSlopeOfTheLoss) {
  RetinaNetConfig config = TinyRetinaNet();
  config.set_regression_beta(0.3f);
  config.set_classification_weight(2);
  config.set_regression_weight(0.5f);
  const auto model = MakeWarmModel(config);
  ExpectGradientIsTheSlope(*model, model->MakeBatch({4, 5}, 5, 4), 0.03, 1e-4);
}

TEST(RetinaNet, WorkersAddUpToOne) {
  for (const NormConfig::Mode norm : {NormConfig::FROZEN, NormConfig::SYNCHRONIZED}) {
    for (const auto normalizer : {RetinaNetConfig::IMAGE, RetinaNetConfig::BATCH}) {
      ExpectWorkersAddUp([&] {
        RetinaNetConfig config = TinyRetinaNet(norm);
        config.set_normalizer(normalizer);
        return MakeModel(config);
      });
    }
  }
}

TEST(RetinaNet, LossesAndGradientsIn16BitsAreThoseOfFloat32) {
  Expect16BitsToBeClose([](Precision precision) { return MakeWarmModel(TinyRetinaNet(), precision); });
}

TEST(RetinaNet, LearnsTwoImagesAndDetectsTheirObjects) {
  const auto model = MakeModel(TinyRetinaNet());
  const Batch batch = model->MakeBatch({2, 1}, 2, 5);
  const float first = Total(model->Step(batch, true));
  float last = first;
  for (int step = 0; step < 400; ++step) {
    last = Total(model->Step(batch, true));
    model->Descend(step < 50 ? 0.02f : 0.05f);
  }
  EXPECT_LT(last, 0.3f * first);
  ExpectFindsObjects(*model, batch);
}

TEST(RetinaNet, RefusesWhatCannotWork) {
  const auto error = [](const RetinaNetConfig& config) {
    const Status status = MakeRetinaNet(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  RetinaNetConfig config = TinyRetinaNet();
  config.mutable_backbone()->set_type_url("backbone/resnet_small");
  config.mutable_backbone()->set_value(TinyBackbone().SerializeAsString());
  EXPECT_NE(error(config).find("layer2 (16), layer3 (24); put a [backbone/fpn] around it"), std::string::npos)
      << error(config);
  config = TinyRetinaNet();
  config.mutable_anchors()->mutable_map(0)->add_sizes(9);
  EXPECT_NE(error(config).find("6, 3, 3 boxes"), std::string::npos) << error(config);
  config = TinyRetinaNet();
  config.set_low_iou_threshold(0.6f);
  EXPECT_NE(error(config).find("low_iou_threshold is 0.6"), std::string::npos) << error(config);
  config = TinyRetinaNet();
  config.set_num_classes(0);
  EXPECT_NE(error(config).find("num_classes is 0"), std::string::npos);
  const auto model = MakeModel(TinyRetinaNet());
  Context context(model->device());
  const Status status =
      model->detector().Detect(context, Tensor::Zeros(model->device(), {1, 32, 64, 3}, DataType::kUint8)).status();
  EXPECT_NE(status.message().find("model/retinanet takes images uint8 [N, 64, 64, 3]"), absl::string_view::npos);
}

}  // namespace
}  // namespace trireme

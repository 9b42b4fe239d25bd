#include "models/faster_rcnn/faster_rcnn.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/random.h"
#include "models/backbones/resnet.pb.h"
#include "models/boxes/box_geometry.h"
#include "models/faster_rcnn/losses.h"
#include "models/matching/threshold_matching.h"
#include "tests/models/testing/detector_checks.h"
#include "tests/models/testing/module_contents.h"
#include "tests/models/testing/random_boxes.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

std::unique_ptr<TestModel> MakeModel(const FasterRcnnConfig& config, Precision precision = Precision::kFloat32) {
  return MakeTestModel(MakeFasterRcnn(config, {}).value(), precision);
}

// One map, of a backbone without a pyramid.
FasterRcnnConfig OfASingleMap() {
  FasterRcnnConfig config = TinyFasterRcnn();
  ResNetSmallConfig backbone = TinyBackbone();
  backbone.set_finest_stride(16);
  config.mutable_backbone()->set_type_url("backbone/resnet_small");
  config.mutable_backbone()->set_value(backbone.SerializeAsString());
  config.mutable_anchors()->clear_map();
  for (float size : {14.0f, 24.0f, 36.0f}) {
    if (config.anchors().map_size() == 0) config.mutable_anchors()->add_map();
    config.mutable_anchors()->mutable_map(0)->add_sizes(size);
  }
  config.mutable_roi()->clear_maps();
  return config;
}

TEST(FasterRcnn, LossesAreFiniteAndReachEveryParameter) {
  for (const FasterRcnnConfig& config : {TinyFasterRcnn(), TinyFasterRcnn(NormConfig::PER_WORKER), OfASingleMap()}) {
    const auto model = MakeModel(config);
    const std::vector<float> losses = model->Step(model->MakeBatch({3, 1, 2}, 4, 1), true);
    ASSERT_EQ(losses.size(), 4u);
    for (float loss : losses) {
      EXPECT_GT(loss, 0);
      EXPECT_TRUE(std::isfinite(loss));
    }
    ExpectEveryParameterHasAGradient(*model);
  }
}

TEST(FasterRcnn, NamesItsLossesAsTorchvision) {
  const auto model = MakeModel(TinyFasterRcnn());
  Context context(model->device());
  const auto losses = model->detector().Loss(context, model->MakeBatch({1}, 1, 1));
  ASSERT_TRUE(losses.ok()) << losses.status();
  std::vector<std::string> names;
  for (const auto& [name, loss] : *losses) names.push_back(name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}));
}

TEST(FasterRcnn, HasTheWeightsOfTorchvision) {
  ResNetConfig body;
  for (int map : {1, 2, 3, 4}) body.add_maps(map);
  FpnConfig pyramid;
  pyramid.mutable_backbone()->set_type_url("backbone/resnet");
  pyramid.mutable_backbone()->set_value(body.SerializeAsString());
  pyramid.set_extra(FpnConfig::POOL);
  FasterRcnnConfig config;
  config.set_num_classes(90);
  config.mutable_backbone()->set_type_url("backbone/fpn");
  config.mutable_backbone()->set_value(pyramid.SerializeAsString());
  config.mutable_roi()->set_maps(4);
  const auto made = MakeFasterRcnn(config, {});
  ASSERT_TRUE(made.ok()) << made.status();
  const ModuleContents contents(made->get());
  // torchvision counts 41,755,286.
  EXPECT_EQ(contents.num_weights_but_norms(), 41755286);
  ExpectNames(contents, {"backbone.body.layer1.0.conv1.weight", "backbone.fpn.layer_blocks.3.0.bias",
                         "rpn.head.conv.0.0.weight", "rpn.head.cls_logits.bias", "rpn.head.bbox_pred.weight",
                         "roi_heads.box_head.fc6.weight", "roi_heads.box_head.fc7.bias",
                         "roi_heads.box_predictor.cls_score.weight", "roi_heads.box_predictor.bbox_pred.bias"});
}

double SmoothL1(double x) {
  const double beta = 1.0 / 9;
  x = std::abs(x);
  return x < beta ? x * x / (2 * beta) : x - beta / 2;
}

// The first stage's, by the words of torchvision's compute_loss, given the sample.
TEST(FasterRcnn, RpnLossesAreTorchvisionsByDefinition) {
  Random random(9, RandomUse::kSampling);
  const int images = 3, places = 4, count = 500;
  std::vector<Box> anchors, boxes;
  std::vector<int32_t> labels;
  for (int a = 0; a < count; ++a) anchors.push_back(RandomBox(&random, 60, 6, 40));
  for (int i = 0; i < images * places; ++i) {
    boxes.push_back(RandomBox(&random, 60, 6, 40));
    labels.push_back(i < 8 && i % 4 != 2 ? static_cast<int32_t>(random.Below(3)) : -1);
  }
  std::vector<float> logits, offsets;
  for (int i = 0; i < images * count; ++i) logits.push_back(random.Uniform(-4, 2));
  for (int i = 0; i < images * count * 4; ++i) offsets.push_back(random.Uniform(-1, 1));
  const auto device = *MakeDevice("cpu", 1);
  device->BindToThisThread();
  Batch batch;
  batch.boxes = Tensor::Empty(*device, {images, places, 4});
  batch.boxes.CopyFromHost(boxes.data());
  batch.labels = Tensor::From(*device, {images, places}, labels);
  batch.random_keys = Tensor::From<int64_t>(*device, {images}, {1, 2, 3});
  const Tensor anchor_tensor = Tensor::Empty(*device, {count, 4});
  anchor_tensor.CopyFromHost(anchors.data());
  Context context(*device);
  context.seed = 5;
  RpnConfig config;
  config.set_sample(60);
  const auto losses = RpnLosses(context, config, Var(Tensor::From(*device, {images, count, 1}, logits)),
                                Var(Tensor::From(*device, {images, count, 4}, offsets)), anchor_tensor, batch);
  ASSERT_TRUE(losses.ok()) << losses.status();

  MatchThresholds thresholds;
  thresholds.high = 0.7f;
  thresholds.low = 0.3f;
  thresholds.allow_low_quality = true;
  const Tensor matches =
      MatchByThresholds(anchor_tensor, batch.boxes, batch.labels, thresholds, device->compute_stream());
  const std::vector<int32_t> match = matches.ToVector<int32_t>();
  const std::vector<float> chosen =
      SampleBalanced(matches, batch.random_keys, RpnSample(config, 5), device->compute_stream())
          .chosen.ToVector<float>();
  double objectness = 0, regression = 0, sampled = 0, positives = 0;
  for (int i = 0; i < images * count; ++i) {
    if (chosen[i] == 0) continue;
    ++sampled;
    const double p = 1 / (1 + std::exp(-static_cast<double>(logits[i])));
    objectness -= match[i] >= 0 ? std::log(p) : std::log(1 - p);
    if (match[i] < 0) continue;
    ++positives;
    const Box& box = boxes[i / count * places + match[i]];
    const Box& anchor = anchors[i % count];
    const double width = anchor.width(), height = anchor.height();
    const double wanted[] = {((box.x1 + box.x2) / 2 - (anchor.x1 + anchor.x2) / 2) / width,
                             ((box.y1 + box.y2) / 2 - (anchor.y1 + anchor.y2) / 2) / height,
                             std::log(box.width() / width), std::log(box.height() / height)};
    for (int d = 0; d < 4; ++d) regression += SmoothL1(offsets[i * 4 + d] - wanted[d]);
  }
  EXPECT_EQ(sampled, 180);
  EXPECT_GT(positives, 5);
  EXPECT_NEAR((*losses)[0].second.value().ToVector<float>()[0], objectness / sampled, 1e-5 * objectness / sampled);
  EXPECT_NEAR((*losses)[1].second.value().ToVector<float>()[0], regression / sampled, 1e-5 * regression / sampled);
}

// The second stage's, by the words of torchvision's fastrcnn_loss.
TEST(FasterRcnn, RoiLossesAreTorchvisionsByDefinition) {
  Random random(10, RandomUse::kSampling);
  const int rows = 50, outputs = 4;
  std::vector<float> logits, offsets, wanted, weight, positive;
  std::vector<int32_t> labels;
  for (int i = 0; i < rows; ++i) {
    labels.push_back(static_cast<int32_t>(random.Below(outputs)));
    const bool is_padding = i % 5 == 4;
    if (is_padding) labels.back() = 0;
    weight.push_back(is_padding ? 0.0f : 1.0f);
    positive.push_back(labels.back() > 0 ? 1.0f : 0.0f);
    for (int c = 0; c < outputs; ++c) logits.push_back(random.Uniform(-2, 2));
    for (int k = 0; k < outputs * 4; ++k) offsets.push_back(random.Uniform(-1, 1));
    for (int d = 0; d < 4; ++d) wanted.push_back(labels.back() > 0 ? random.Uniform(-1, 1) : 0.0f);
  }
  const auto device = *MakeDevice("cpu", 1);
  device->BindToThisThread();
  RoiTargets targets;
  targets.label = Tensor::From(*device, {rows}, labels);
  targets.offsets = Tensor::From(*device, {rows, 4}, wanted);
  targets.weight = Tensor::From(*device, {rows}, weight);
  targets.positive = Tensor::From(*device, {rows}, positive);
  targets.counts = Tensor::From<float>(*device, {2}, {25, 15});
  BoxHeadOutputs head;
  head.logits = Var(Tensor::From(*device, {rows, outputs}, logits));
  head.offsets = Var(Tensor::From(*device, {rows, outputs * 4}, offsets));
  Context context(*device);
  const auto losses = RoiLosses(context, head, targets);
  ASSERT_TRUE(losses.ok()) << losses.status();
  double classifier = 0, regression = 0;
  for (int i = 0; i < rows; ++i) {
    if (weight[i] == 0) continue;
    double sum = 0;
    for (int c = 0; c < outputs; ++c) sum += std::exp(static_cast<double>(logits[i * outputs + c]));
    classifier += std::log(sum) - logits[i * outputs + labels[i]];
    if (labels[i] == 0) continue;
    for (int d = 0; d < 4; ++d) {
      regression += SmoothL1(offsets[(i * outputs + labels[i]) * 4 + d] - static_cast<double>(wanted[i * 4 + d]));
    }
  }
  EXPECT_NEAR((*losses)[0].second.value().ToVector<float>()[0], classifier / 40, 1e-5 * classifier / 40);
  EXPECT_NEAR((*losses)[1].second.value().ToVector<float>()[0], regression / 40, 1e-5 * regression / 40);
}

TEST(FasterRcnn, ImagesWithoutObjectsAreLegal) {
  const auto model = MakeModel(TinyFasterRcnn());
  for (int places : {3, 0}) {
    const std::vector<float> none = model->Step(model->MakeBatch({0, 0}, places, 2), true);
    EXPECT_GT(none[0], 0) << "the background is trained";
    EXPECT_EQ(none[1], 0);
    EXPECT_GT(none[2], 0);
    EXPECT_EQ(none[3], 0);
    for (float gradient : model->arena().gradients().ToVector<float>()) ASSERT_TRUE(std::isfinite(gradient));
  }
  const std::vector<float> mixed = model->Step(model->MakeBatch({2, 0}, 3, 3), true);
  for (float loss : mixed) EXPECT_GT(loss, 0);
}

// Which proposals there are and which of them are trained is taken as it is, and changes in leaps: so each stage has
// its turn, while what the other says of a proposal is the same for all.
TEST(FasterRcnn, GradientOfTheFirstStageIsTheSlopeOfTheLoss) {
  FasterRcnnConfig config = TinyFasterRcnn();
  config.mutable_roi()->set_positive_share(0);
  const auto model = MakeModel(config);
  ScaleWeights(model.get(), "rpn.", 10);
  ScaleWeights(model.get(), "roi_heads.", 0);
  ExpectGradientIsTheSlope(*model, model->MakeBatch({4, 5}, 5, 4), 0.03, 1e-4, "roi_heads.");
}

TEST(FasterRcnn, GradientOfTheSecondStageIsTheSlopeOfTheLoss) {
  FasterRcnnConfig config = TinyFasterRcnn();
  config.mutable_roi()->set_canonical_size(20);  // proposals on both maps
  const auto model = MakeModel(config);
  ScaleWeights(model.get(), "rpn.head.cls_logits", 0);
  ScaleWeights(model.get(), "rpn.head.bbox_pred", 0);
  ScaleWeights(model.get(), "roi_heads.box_predictor", 3);
  ExpectGradientIsTheSlope(*model, model->MakeBatch({4, 5}, 5, 4), 0.03, 1e-4, "rpn.");
}

TEST(FasterRcnn, WorkersAddUpToOne) {
  for (const NormConfig::Mode norm : {NormConfig::FROZEN, NormConfig::SYNCHRONIZED}) {
    ExpectWorkersAddUp([norm] { return MakeModel(TinyFasterRcnn(norm)); });
  }
}

// Rounding would change a selection, so there is none: every anchor is proposed, and all are trained in both stages.
TEST(FasterRcnn, LossesAndGradientsIn16BitsAreThoseOfFloat32) {
  FasterRcnnConfig config = TinyFasterRcnn();
  RpnConfig* rpn = config.mutable_rpn();
  rpn->set_sample(4096);
  rpn->set_pre_nms_top_k_training(4096);
  rpn->set_nms_threshold(1);
  rpn->set_proposals_training(300);
  config.mutable_roi()->set_sample(1200);
  Expect16BitsToBeClose([&](Precision precision) {
    auto model = MakeModel(config, precision);
    ScaleWeights(model.get(), "rpn.", 5);
    ScaleWeights(model.get(), "roi_heads.box_predictor", 3);
    return model;
  });
}

TEST(FasterRcnn, LearnsTwoImagesAndDetectsTheirObjects) {
  for (const FasterRcnnConfig& config : {TinyFasterRcnn(), OfASingleMap()}) {
    const auto model = MakeModel(config);
    ScaleWeights(model.get(), "rpn.", 5);
    Batch batch = model->MakeBatch({2, 1}, 2, 5);
    const float first = Total(model->Step(batch, true));
    for (int step = 0; step < 500; ++step) {
      batch.random_keys = Tensor::From<int64_t>(model->device(), {2}, {2 * step, 2 * step + 1});
      model->Step(batch, true);
      // Without smaller steps at the end it is up to the random choices, and to rounding, whether all are found.
      model->Descend(step < 400 ? 0.05f : 0.01f);
    }
    EXPECT_LT(Total(model->Step(batch, false)), 0.4f * first);
    ExpectFindsObjects(*model, batch);
  }
}

TEST(FasterRcnn, RefusesWhatCannotWork) {
  const auto error = [](const FasterRcnnConfig& config) {
    const Status status = MakeFasterRcnn(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  FasterRcnnConfig config = TinyFasterRcnn();
  config.mutable_backbone()->set_type_url("backbone/resnet_small");
  config.mutable_backbone()->set_value(TinyBackbone().SerializeAsString());
  EXPECT_NE(error(config).find("put a [backbone/fpn] around it"), std::string::npos) << error(config);
  config = TinyFasterRcnn();
  config.mutable_roi()->set_maps(4);
  EXPECT_NE(error(config).find("roi.maps is 4; the backbone gives 3 maps"), std::string::npos) << error(config);
  config = TinyFasterRcnn();
  config.mutable_roi()->set_sampling(9);
  EXPECT_NE(error(config).find("roi.sampling is 9"), std::string::npos) << error(config);
  config = TinyFasterRcnn();
  config.mutable_rpn()->set_low_iou_threshold(0.8f);
  EXPECT_NE(error(config).find("rpn.low_iou_threshold is 0.8"), std::string::npos) << error(config);

  const auto model = MakeModel(TinyFasterRcnn());
  Batch batch = model->MakeBatch({1}, 1, 1);
  batch.random_keys = Tensor();
  Context context(model->device());
  EXPECT_NE(model->detector().Loss(context, batch).status().message().find("random_keys"), absl::string_view::npos);
}

}  // namespace
}  // namespace trireme

#include "models/yolo/yolo.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/strip.h"
#include "core/base/random.h"
#include "models/boxes/box_geometry.h"
#include "models/yolo/anchor_head.h"
#include "models/yolo/anchor_targets.h"
#include "models/yolo/decode_predictions.h"
#include "models/yolo/score_predictions.h"
#include "tests/core/ops/gradient_check.h"
#include "tests/core/testing/devices.h"
#include "tests/models/testing/detector_checks.h"
#include "tests/models/testing/module_contents.h"
#include "tests/models/testing/random_boxes.h"
#include "tests/models/testing/tiny_detectors.h"
#include "tests/models/yolo/darknet_reference.h"

namespace trireme {
namespace {

std::unique_ptr<TestModel> MakeModel(const YoloConfig& config, Precision precision = Precision::kFloat32) {
  return MakeTestModel(MakeYolo(config, {}).value(), precision);
}

TEST(Yolo, LossesAreFiniteAndReachEveryParameter) {
  for (const NormConfig::Mode norm : {NormConfig::FROZEN, NormConfig::PER_WORKER}) {
    for (const auto loss : {YoloAnchorHeadConfig::OFFSETS, YoloAnchorHeadConfig::CIOU}) {
      YoloConfig config = TinyYolo(norm);
      config.mutable_anchors()->set_box_loss(loss);
      const auto model = MakeModel(config);
      const std::vector<float> losses = model->Step(model->MakeBatch({3, 1, 2}, 4, 1), true);
      ASSERT_EQ(losses.size(), 3u);
      for (const float value : losses) EXPECT_GT(value, 0);
      EXPECT_TRUE(std::isfinite(Total(losses)));
      ExpectEveryParameterHasAGradient(*model);
    }
  }
}

TEST(Yolo, BiasesDoNotDecay) {
  for (const YoloConfig& config : {TinyYolo(), TinyAnchorFreeYolo()}) {
    const auto made = MakeYolo(config, {});
    ASSERT_TRUE(made.ok()) << made.status();
    const auto parameters = ModuleContents(made->get()).parameters;
    // Norms have biases too.
    std::set<std::string> convolutions;
    for (const auto& [name, parameter] : parameters) {
      if (parameter->shape.rank() == 4) convolutions.insert(std::string(absl::StripSuffix(name, ".weight")));
    }
    int biases = 0;
    for (const auto& [name, parameter] : parameters) {
      const absl::string_view layer = absl::StripSuffix(name, ".bias");
      if (layer == name || convolutions.count(std::string(layer)) == 0) continue;
      EXPECT_EQ(parameter->options.weight_decay_multiplier, 0) << name;
      ++biases;
    }
    EXPECT_GT(biases, 0);
  }
}

TEST(Yolo, NamesItsLosses) {
  const auto model = MakeModel(TinyYolo());
  Context context(model->device());
  const auto losses = model->detector().Loss(context, model->MakeBatch({1}, 1, 1));
  ASSERT_TRUE(losses.ok()) << losses.status();
  std::vector<std::string> names;
  for (const auto& [name, loss] : *losses) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"box", "objectness", "classification"}));
}

TEST(Yolo, ObjectnessStartsFromItsPrior) {
  const auto model = MakeModel(TinyYolo());
  for (const Parameter* parameter : model->arena().parameters()) {
    if (parameter->name != "head.network.conv2.bias") continue;
    const std::vector<float> bias = parameter->value().ToVector<float>();
    ASSERT_EQ(bias.size(), 2 * 7u);
    for (size_t i = 0; i < bias.size(); ++i) {
      EXPECT_NEAR(bias[i], i % 7 == 4 ? std::log(0.1 / 0.9) : 0, 1e-6);
    }
    return;
  }
  FAIL() << "no such parameter";
}

DarknetScene RandomScene(Random* random) {
  DarknetScene scene;
  scene.image = {96, 64};
  scene.maps = {{8, 12, 8, {{9, 12}, {14, 9}}}, {4, 6, 16, {{20, 20}, {24, 14}, {16, 28}}}, {2, 3, 32, {{50, 40}}}};
  scene.images = 3;
  scene.objects = 9;
  scene.classes = 4;
  for (int i = 0; i < scene.images * scene.objects; ++i) {
    Box box = RandomBox(random, 64, 6, 50);
    // Several on one place.
    if (i % 4 == 1) box = scene.boxes.back();
    scene.boxes.push_back(box);
    // The last image has no objects.
    const bool is_object = i < 2 * scene.objects && i % 5 != 3;
    scene.labels.push_back(is_object ? static_cast<int32_t>(random->Below(scene.classes)) : -1);
  }
  for (int64_t i = 0; i < scene.images * scene.rows() * (5 + scene.classes); ++i) {
    scene.predictions.push_back(random->Uniform(-1.5f, 1));
  }
  scene.ignore_threshold = 0.4;
  return scene;
}

Tensor CellTensor(const std::vector<YoloCell>& cells, Device& device) {
  const Tensor tensor = Tensor::Empty(device, {static_cast<int64_t>(cells.size()), 9});
  tensor.CopyFromHost(cells.data());
  return tensor;
}

struct SceneTensors {
  Tensor cells, predictions;
  std::vector<YoloAnchor> anchors;
  Batch batch;

  SceneTensors(const DarknetScene& scene, Device& device) {
    cells = CellTensor(MakeYoloCells(scene.maps, scene.image), device);
    predictions = Tensor::From(device, {scene.images, scene.rows(), 5 + scene.classes}, scene.predictions);
    for (const YoloMap& map : scene.maps) anchors.insert(anchors.end(), map.anchors.begin(), map.anchors.end());
    batch.boxes = Tensor::Empty(device, {scene.images, scene.objects, 4});
    batch.boxes.CopyFromHost(scene.boxes.data());
    batch.labels = Tensor::From(device, {scene.images, scene.objects}, scene.labels);
  }
};

class YoloOnDevice : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Devices, YoloOnDevice, ::testing::ValuesIn(testing::TestDevices()));

TEST_P(YoloOnDevice, LossesAndGradientsAreDarknets) {
  const auto device = testing::NewTestDevice(GetParam(), 2);
  Random random(9, RandomUse::kSampling);
  int assigned = 0, ignored = 0, shared = 0;
  for (int trial = 0; trial < 10; ++trial) {
    const DarknetScene scene = RandomScene(&random);
    const SceneTensors tensors(scene, *device);
    YoloConfig config;
    config.mutable_anchors()->set_ignore_threshold(static_cast<float>(scene.ignore_threshold));
    Tape tape({}, nullptr);
    Context context(*device);
    context.tape = &tape;
    const Var predictions = Var::Intermediate(tensors.predictions);
    const auto losses =
        AnchorLosses(context, config, predictions, tensors.cells, tensors.anchors, scene.image, tensors.batch);
    ASSERT_TRUE(losses.ok()) << losses.status();
    tape.Backward({(*losses)[0].second, (*losses)[1].second, (*losses)[2].second}, context.stream());
    const DarknetResult expected = DarknetLosses(scene);
    const double sums[] = {expected.box, expected.objectness, expected.classification};
    for (int k = 0; k < 3; ++k) {
      EXPECT_NEAR((*losses)[k].second.value().ToVector<float>()[0], sums[k] / scene.images, 1e-5 * sums[k]);
    }
    const std::vector<float> slopes = predictions.gradient().ToVector<float>();
    ASSERT_EQ(slopes.size(), expected.slopes.size());
    for (size_t i = 0; i < slopes.size(); ++i) {
      ASSERT_NEAR(slopes[i], expected.slopes[i] / scene.images, 1e-5) << i;
    }
    assigned += expected.assigned;
    ignored += expected.ignored;
    shared += expected.shared;
  }
  EXPECT_GT(assigned, 50);
  EXPECT_GT(ignored, 20);
  EXPECT_GT(shared, 20);
}

TEST_P(YoloOnDevice, OtherAnchorsOfTheCellTakeObjectsOfTheirShape) {
  const auto device = testing::NewTestDevice(GetParam());
  Random random(10, RandomUse::kSampling);
  int added = 0;
  for (int trial = 0; trial < 5; ++trial) {
    const DarknetScene scene = RandomScene(&random);
    const SceneTensors tensors(scene, *device);
    AnchorTargetOptions options;
    options.anchors = tensors.anchors;
    options.num_classes = scene.classes;
    options.image = scene.image;
    Context context(*device);
    const Var offsets(Tensor::Zeros(*device, {scene.images, scene.rows(), 4}));
    const Tensor predicted = DecodePredictions(context, offsets, tensors.cells, YoloCentre::kSigmoid).value();
    const auto objectness = [&](float threshold) {
      options.shape_iou_threshold = threshold;
      return AssignToAnchors(predicted, tensors.cells, tensors.batch.boxes, tensors.batch.labels, options,
                             context.stream())
          .objectness.ToVector<float>();
    };
    const std::vector<float> best = objectness(1), more = objectness(0.5f);
    const std::vector<YoloCell> cells = MakeYoloCells(scene.maps, scene.image);
    for (size_t i = 0; i < best.size(); ++i) {
      const YoloCell& cell = cells[i % cells.size()];
      const size_t image = i / cells.size();
      bool expected = best[i] == 1;
      for (int g = 0; g < scene.objects; ++g) {
        const size_t at = image * scene.objects + g;
        if (scene.labels[at] < 0) continue;
        const Box& box = scene.boxes[at];
        const float x = (box.x1 + box.x2) / 2 / scene.image.width, y = (box.y1 + box.y2) / 2 / scene.image.height;
        expected = expected || (std::floor(x * cell.columns) == cell.column && std::floor(y * cell.rows) == cell.row &&
                                ShapeIou(box.width(), box.height(), cell.anchor_width, cell.anchor_height) > 0.5f);
      }
      EXPECT_EQ(more[i] == 1, expected) << i;
      added += more[i] > best[i];
    }
  }
  EXPECT_GT(added, 15);
}

// A centre on the border of the image, or outside, belongs to the nearest cell.
TEST_P(YoloOnDevice, NoObjectIsWithoutACell) {
  const auto device = testing::NewTestDevice(GetParam());
  const YoloMap map{2, 3, 10, {{10, 10}}};
  const Tensor cells = CellTensor(MakeYoloCells({map}, {30, 20}), *device);
  AnchorTargetOptions options;
  options.anchors = map.anchors;
  options.num_classes = 1;
  options.image = {30, 20};
  const Tensor boxes =
      Tensor::From<float>(*device, {4, 1, 4}, {25, 15, 35, 25, -9, -9, 1, 1, 31, 2, 40, 9, 3, 3, 3, 9});
  const YoloTargets targets =
      AssignToAnchors(Tensor::Zeros(*device, {4, 6, 4}), cells, boxes, Tensor::Zeros(*device, {4, 1}, DataType::kInt32),
                      options, device->compute_stream());
  // The last one has no area.
  EXPECT_EQ(targets.objectness.ToVector<float>(), (std::vector<float>{0, 0, 0, 0, 0, 1,  //
                                                                      1, 0, 0, 0, 0, 0,  //
                                                                      0, 0, 1, 0, 0, 0,  //
                                                                      0, 0, 0, 0, 0, 0}));
  const std::vector<float> centres = targets.centres.ToVector<float>();
  EXPECT_EQ(centres[2 * 5], 1);
  EXPECT_EQ(centres[2 * 6], 0);
}

TEST_P(YoloOnDevice, DecodesAndScoresByTheDefinition) {
  const auto device = testing::NewTestDevice(GetParam());
  Random random(11, RandomUse::kSampling);
  const DarknetScene scene = RandomScene(&random);
  const SceneTensors tensors(scene, *device);
  const ScoredBoxes scored =
      ScorePredictions(tensors.predictions, tensors.cells, PredictionLayout(), device->compute_stream());
  const std::vector<float> boxes = scored.boxes.ToVector<float>(), scores = scored.scores.ToVector<float>();
  const std::vector<YoloCell> cells = MakeYoloCells(scene.maps, scene.image);
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  for (size_t i = 0; i < scores.size() / scene.classes; ++i) {
    const float* own = &scene.predictions[i * (5 + scene.classes)];
    const YoloCell& cell = cells[i % cells.size()];
    const double x = (cell.column + sigmoid(own[0])) * 96 / cell.columns;
    const double width = cell.anchor_width * std::exp(own[2]);
    EXPECT_NEAR(boxes[4 * i], x - width / 2, 1e-4);
    EXPECT_NEAR(boxes[4 * i + 2], x + width / 2, 1e-4);
    const double y = (cell.row + sigmoid(own[1])) * 64 / cell.rows, height = cell.anchor_height * std::exp(own[3]);
    EXPECT_NEAR(boxes[4 * i + 1], y - height / 2, 1e-4);
    EXPECT_NEAR(boxes[4 * i + 3], y + height / 2, 1e-4);
    for (int c = 0; c < scene.classes; ++c) {
      EXPECT_NEAR(scores[i * scene.classes + c], sigmoid(own[4]) * sigmoid(own[5 + c]), 1e-6);
    }
  }
}

TEST_P(YoloOnDevice, GradientsOfDecodedBoxes) {
  testing::GradientCheck check(GetParam());
  const Tensor cells =
      CellTensor(MakeYoloCells({{2, 3, 10, {{10, 5}}}, {1, 2, 16, {{8, 20}, {12, 12}}}}, {30, 20}), check.device());
  const Var offsets = check.Input({2, 10, 4});
  for (const YoloCentre centre : {YoloCentre::kSigmoid, YoloCentre::kOffset}) {
    check.Run([&](Context& context) { return DecodePredictions(context, offsets, cells, centre); });
  }
}

TEST(Yolo, CellsAreOfTheStrideWhereTheyCoverTheImage) {
  // 240 pixels in 8 rows of 32, the last of which reaches beyond; 38 columns of a map that has no place for a 39th.
  const std::vector<YoloCell> cells = MakeYoloCells({{8, 38, 32, {{9, 9}}}}, {310, 240});
  EXPECT_EQ(cells[0].height, 32);
  EXPECT_EQ(cells[0].width, 310.0f / 38);
  EXPECT_EQ(cells[38 + 2].column, 2);
  EXPECT_EQ(cells[38 + 2].row, 1);
}

TEST(Yolo, BoxesOfAnUntrainedHeadAreFinite) {
  const YoloCell cell = MakeYoloCells({{1, 1, 64, {{100, 100}}}}, {64, 64})[0];
  const float output[] = {-500, 500, 500, -500};
  const Box box = cell.Decode(output, YoloCentre::kSigmoid);
  for (const float side : {box.x1, box.y1, box.x2, box.y2}) EXPECT_TRUE(std::isfinite(side));
}

TEST(Yolo, ImagesWithoutObjectsAreLegal) {
  const auto model = MakeModel(TinyYolo());
  for (int places : {3, 0}) {
    const std::vector<float> none = model->Step(model->MakeBatch({0, 0}, places, 2), true);
    EXPECT_EQ(none[0], 0);
    EXPECT_GT(none[1], 0) << "the background is trained";
    EXPECT_EQ(none[2], 0);
  }
  const Batch batch = model->MakeBatch({2, 0}, 3, 3);
  const std::vector<float> both = model->Step(batch, true);
  const std::vector<float> first = model->Step(batch.Slice(0, 1), false);
  const std::vector<float> second = model->Step(batch.Slice(1, 2), false);
  for (int k = 0; k < 3; ++k) EXPECT_NEAR(both[k], (first[k] + second[k]) / 2, 1e-5 * both[k]);
}

TEST(Yolo, GradientIsTheSlopeOfTheLoss) {
  for (const auto loss : {YoloAnchorHeadConfig::OFFSETS, YoloAnchorHeadConfig::CIOU}) {
    YoloConfig config = TinyYolo();
    config.mutable_anchors()->set_box_loss(loss);
    config.mutable_anchors()->set_ignore_threshold(1);  // no jumps
    config.set_box_weight(0.5f);
    config.set_objectness_weight(2);
    config.set_classification_weight(3);
    const auto model = MakeModel(config);
    ScaleWeights(model.get(), "head.network.conv2", 10);
    ScaleWeights(model.get(), "head.network.conv6", 10);
    ExpectGradientIsTheSlope(*model, model->MakeBatch({4, 5}, 5, 4), 0.03, 1e-3);
  }
}

TEST(Yolo, WorkersAddUpToOne) {
  for (const NormConfig::Mode norm : {NormConfig::FROZEN, NormConfig::SYNCHRONIZED}) {
    ExpectWorkersAddUp([norm] { return MakeModel(TinyYolo(norm)); });
  }
}

TEST(Yolo, LossesAndGradientsIn16BitsAreThoseOfFloat32) {
  Expect16BitsToBeClose([](Precision precision) { return MakeModel(TinyYolo(), precision); });
}

TEST(Yolo, LearnsTwoImagesAndDetectsTheirObjects) {
  for (const auto loss : {YoloAnchorHeadConfig::OFFSETS, YoloAnchorHeadConfig::CIOU}) {
    YoloConfig config = TinyYolo();
    config.mutable_anchors()->set_box_loss(loss);
    if (loss == YoloAnchorHeadConfig::CIOU) config.set_box_weight(2);
    const auto model = MakeModel(config);
    const Batch batch = model->MakeBatch({2, 1}, 2, 5);
    const float first = Total(model->Step(batch, true));
    float last = first;
    for (int step = 0; step < 600; ++step) {
      last = Total(model->Step(batch, true));
      model->Descend(step < 50 || step >= 400 ? 0.002f : 0.005f);
    }
    SCOPED_TRACE(YoloAnchorHeadConfig::BoxLoss_Name(loss));
    EXPECT_LT(last, 0.3f * first);
    ExpectFindsObjects(*model, batch);
  }
}

TEST(Yolo, RefusesWhatCannotWork) {
  const auto error = [](const YoloConfig& config) {
    const Status status = MakeYolo(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  YoloConfig config = TinyYolo();
  config.mutable_anchors()->add_map();
  EXPECT_NE(error(config).find("anchors has 3 `map`, but the backbone gives 2: layer2 (stride 8), layer3 (stride 16)"),
            std::string::npos)
      << error(config);
  config = TinyYolo();
  config.mutable_anchors()->mutable_map(1)->add_sizes(9);
  EXPECT_NE(error(config).find("anchors.map[1].sizes, of the map layer3"), std::string::npos) << error(config);
  config = TinyYolo();
  config.mutable_anchors()->mutable_map(0)->set_sizes(0, -9);
  EXPECT_NE(error(config).find("have to be positive"), std::string::npos) << error(config);
  config = TinyYolo();
  config.mutable_anchors()->mutable_map(0)->set_channels(0);
  EXPECT_NE(error(config).find("anchors.map[0] has 0 channels"), std::string::npos) << error(config);
  config = TinyYolo();
  for (int i = 0; i < 130; ++i) config.mutable_anchors()->mutable_map(0)->add_sizes(5);
  EXPECT_NE(error(config).find("64 at most"), std::string::npos) << error(config);
  config = TinyYolo();
  config.mutable_anchors()->set_ignore_threshold(1.5f);
  EXPECT_NE(error(config).find("anchors.ignore_threshold is 1.5"), std::string::npos) << error(config);
  config = TinyYolo();
  config.set_num_classes(0);
  EXPECT_NE(error(config).find("num_classes is 0"), std::string::npos);
  const auto model = MakeModel(TinyYolo());
  Context context(model->device());
  const Status status =
      model->detector().Detect(context, Tensor::Zeros(model->device(), {1, 32, 64, 3}, DataType::kUint8)).status();
  EXPECT_NE(status.message().find("model/yolo takes images uint8 [N, 64, 64, 3]"), absl::string_view::npos);
}

}  // namespace
}  // namespace trireme

#include "models/ssd/ssd.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/models/testing/detector_checks.h"
#include "tests/models/testing/model_fixture.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

TEST(Ssd, LossesAreFiniteAndReachEveryParameter) {
  for (int top_down : {0, 12}) {
    ResNetSmallConfig backbone = TinyBackbone();
    backbone.mutable_norm()->set_mode(NormConfig::PER_WORKER);
    backbone.set_top_down_channels(top_down);
    TestModel model(TinySsd(backbone), 2);
    const std::vector<float> losses = model.Step(model.MakeBatch({3, 1, 2}, 4, 1), true);
    ASSERT_EQ(losses.size(), 2u);
    EXPECT_GT(losses[0], 0);
    EXPECT_GT(losses[1], 0);
    EXPECT_TRUE(std::isfinite(Total(losses)));
    ExpectEveryParameterHasAGradient(model);
  }
}

TEST(Ssd, LossesAndGradientsIn16BitsAreThoseOfFloat32) {
  ResNetSmallConfig backbone = TinyBackbone();
  backbone.mutable_norm()->set_mode(NormConfig::PER_WORKER);
  backbone.set_top_down_channels(12);
  const SsdConfig config = TinySsd(backbone);
  Expect16BitsToBeClose([&](Precision precision) { return std::make_unique<TestModel>(config, 2, 1, precision); });
}

// At a rate at which the path depends little on rounding: at 0.02, float32 itself ends at 0.47 or 0.92 of 9.34, as the
// compiler is told to optimise.
TEST(Ssd, LearnsIn16BitsAsInFloat32) {
  float at_start = 0, in_float32 = 0;
  for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16, Precision::kFloat16}) {
    TestModel model(TinySsd(TinyBackbone()), 2, 1, precision);
    const Batch batch = model.MakeBatch({2, 1}, 2, 5);
    const float first = Total(model.Step(batch, false));
    for (int step = 0; step < 60; ++step) {
      model.Step(batch, true);
      model.Descend(0.005f);
    }
    const float last = Total(model.Step(batch, false));
    if (precision == Precision::kFloat32) {
      at_start = first;
      in_float32 = last;
      EXPECT_LT(last, 0.5f * first);
    }
    EXPECT_NEAR(last, in_float32, 0.03f * at_start);
  }
}

TEST(Ssd, NamesItsLossesInAFixedOrder) {
  TestModel model(TinySsd(TinyBackbone()));
  Context context(model.device());
  const auto losses = model.detector().Loss(context, model.MakeBatch({1}, 1, 1));
  ASSERT_TRUE(losses.ok()) << losses.status();
  ASSERT_EQ(losses->size(), 2u);
  EXPECT_EQ((*losses)[0].first, "localization");
  EXPECT_EQ((*losses)[1].first, "classification");
}

TEST(Ssd, ImagesWithoutObjectsAreLegal) {
  TestModel model(TinySsd(TinyBackbone()));
  // Nothing at all, also without a place for any.
  for (int places : {3, 0}) {
    const std::vector<float> none = model.Step(model.MakeBatch({0, 0}, places, 2), true);
    EXPECT_EQ(none, (std::vector<float>{0, 0}));
    for (float gradient : model.arena().gradients().ToVector<float>()) ASSERT_EQ(gradient, 0);
  }
  // An empty image beside another changes nothing.
  const Batch batch = model.MakeBatch({2, 0}, 3, 3);
  const std::vector<float> both = model.Step(batch, false), first = model.Step(batch.Slice(0, 1), false);
  EXPECT_NEAR(both[0], first[0], 1e-5 * first[0]);
  EXPECT_NEAR(both[1], first[1], 1e-5 * first[1]);
}

TEST(Ssd, GradientIsTheSlopeOfTheLoss) {
  ResNetSmallConfig backbone = TinyBackbone();
  backbone.set_top_down_channels(8);
  backbone.add_extra_channels(8);
  SsdConfig config = TinySsd(backbone);
  // So that objects match anchors of the last map, too.
  config.mutable_anchors()->clear_scales();
  for (float scale : {0.1f, 0.2f, 0.3f, 0.5f}) config.mutable_anchors()->add_scales(scale);
  config.set_localization_weight(2);
  config.set_classification_weight(0.5f);
  TestModel model(config);
  const Batch batch = model.MakeBatch({4, 5}, 5, 4);
  ExpectGradientIsTheSlope(model, batch);
}

TEST(Ssd, LearnsTwoImagesAndDetectsTheirObjects) {
  TestModel model(TinySsd(TinyBackbone()));
  const Batch batch = model.MakeBatch({2, 1}, 2, 5);
  const float first = Total(model.Step(batch, true));
  float last = first;
  for (int step = 0; step < 250; ++step) {
    last = Total(model.Step(batch, true));
    model.Descend(0.02f);
  }
  EXPECT_LT(last, 0.1f * first);

  ExpectFindsObjects(model, batch);
}

// Adds what another worker would have sent.
class TwoWorkers : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Status AllReduce(const Tensor& tensor, ReduceOperation, Stream&) override {
    EXPECT_EQ(tensor.size(), 1);
    mine = tensor.data<float>()[0];
    tensor.data<float>()[0] += others;
    return result;
  }
  Status ReduceScatter(const Tensor&, ReduceOperation, Stream&) override { return Unused(); }
  Status AllGather(const Tensor&, Stream&) override { return Unused(); }
  Status Broadcast(const Tensor&, int, Stream&) override { return Unused(); }
  Status Send(const Tensor&, int, Stream&) override { return Unused(); }
  Status Receive(const Tensor&, int, Stream&) override { return Unused(); }
  Status SendReceive(const Tensor&, int, const Tensor&, int, Stream&) override { return Unused(); }
  Status Barrier(Stream&) override { return Unused(); }
  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return Unused(); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>&) override { return Unused(); }
  Status status() const override { return result; }
  void Abort(const Status&) override {}
  int64_t bytes_sent() const override { return 0; }
  double busy_seconds() const override { return 0; }

  float mine = 0, others = 0;
  Status result;

 private:
  static Status Unused() { return absl::InternalError("SSD's loss makes no such call"); }
};

TEST(Ssd, LossesAndGradientsOfTwoWorkersAddUpToThoseOfOne) {
  TestModel model(TinySsd(TinyBackbone()));
  // The second half has most of the objects, and an image without any.
  const Batch batch = model.MakeBatch({1, 0, 4, 3}, 4, 6);
  const std::vector<float> whole = model.Step(batch, true);
  const std::vector<float> whole_gradient = model.arena().gradients().ToVector<float>();

  const Batch halves[] = {batch.Slice(0, 2), batch.Slice(2, 4)};
  float positives[2];
  for (int worker = 0; worker < 2; ++worker) {
    TwoWorkers communicator;
    model.Step(halves[worker], false, &communicator);
    positives[worker] = communicator.mine;
  }
  std::vector<float> sum(2, 0.0f), gradient(whole_gradient.size(), 0.0f);
  for (int worker = 0; worker < 2; ++worker) {
    TwoWorkers communicator;
    communicator.others = positives[1 - worker];
    const std::vector<float> share = model.Step(halves[worker], true, &communicator);
    const std::vector<float> share_gradient = model.arena().gradients().ToVector<float>();
    for (int i = 0; i < 2; ++i) sum[i] += share[i];
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] += share_gradient[i];
  }
  EXPECT_NEAR(sum[0], whole[0], 1e-5 * whole[0]);
  EXPECT_NEAR(sum[1], whole[1], 1e-5 * whole[1]);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < gradient.size(); ++i) {
    difference += std::pow(gradient[i] - whole_gradient[i], 2);
    norm += std::pow(whole_gradient[i], 2);
  }
  EXPECT_LT(std::sqrt(difference), 1e-5 * std::sqrt(norm));
}

// With norm over the global batch or over each image, and workers that really meet.
TEST(Ssd, WorkersWithNormAddUpToOne) {
  for (const NormConfig::Mode mode : {NormConfig::SYNCHRONIZED, NormConfig::GROUP}) {
    ResNetSmallConfig backbone = TinyBackbone();
    backbone.mutable_norm()->set_mode(mode);
    backbone.set_top_down_channels(8);
    SsdConfig config = TinySsd(backbone);
    config.set_separable_head(true);
    config.mutable_head_norm()->set_mode(mode);
    ExpectWorkersAddUp([&] { return std::make_unique<TestModel>(config); });
  }
}

TEST(Ssd, WithASeparableHeadGradientsAreSlopes) {
  SsdConfig config = TinySsd(TinyBackbone());
  config.set_separable_head(true);
  config.mutable_head_norm()->set_mode(NormConfig::FROZEN);
  TestModel model(config);
  // Filters start so small that little gets through them.
  ScaleWeights(&model, "head", 10);
  ExpectGradientIsTheSlope(model, model.MakeBatch({3, 0, 1}, 4, 1));
}

TEST(Ssd, ReportsAFaultOfTheCommunicator) {
  TestModel model(TinySsd(TinyBackbone()));
  TwoWorkers communicator;
  communicator.result = absl::DeadlineExceededError("rank 1 is silent");
  Context context(model.device());
  context.communicator = &communicator;
  EXPECT_EQ(model.detector().Loss(context, model.MakeBatch({1}, 1, 1)).status(), communicator.result);
}

TEST(Ssd, ChecksTheClassesAgainstTheData) {
  Detector::BuildArgs args;
  args.class_names = {"cat", "dog", "emu"};
  const SsdConfig config = TinySsd(TinyBackbone());
  const Status status = MakeSsd(config, args).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const char* part : {"num_classes is 2", "3 classes", "cat, dog, emu"}) {
    EXPECT_NE(status.message().find(part), absl::string_view::npos) << status;
  }
  SsdConfig open = config;
  open.clear_num_classes();
  EXPECT_TRUE(MakeSsd(open, args).ok());
  EXPECT_EQ(MakeSsd(open, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Ssd, RefusesWhatCannotWork) {
  const auto error = [](const SsdConfig& config) {
    const Status status = MakeSsd(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  SsdConfig config = TinySsd(TinyBackbone());
  config.clear_backbone();
  EXPECT_NE(error(config).find("sets no backbone"), std::string::npos);
  config = TinySsd(TinyBackbone());
  config.mutable_backbone()->set_type_url("model/ssd");
  EXPECT_NE(error(config).find("is not a backbone"), std::string::npos);
  config = TinySsd(TinyBackbone());
  config.mutable_anchors()->add_scales(2);
  EXPECT_NE(error(config).find("takes 3"), std::string::npos);
  config = TinySsd(TinyBackbone());
  config.set_iou_threshold(1.5f);
  EXPECT_NE(error(config).find("iou_threshold"), std::string::npos);

  TestModel model(TinySsd(TinyBackbone()));
  Context context(model.device());
  const Tensor small = Tensor::Zeros(model.device(), {1, 32, 64, 3}, DataType::kUint8);
  const Status status = model.detector().Detect(context, small).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("[1, 32, 64, 3]"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace trireme

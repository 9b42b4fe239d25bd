#include "models/ssd/ssd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "models/boxes/box_geometry.h"
#include "parallel/communicator/thread/thread_communicator.h"
#include "tests/models/model_fixture.h"

namespace trireme {
namespace {

float Total(const std::vector<float>& losses) { return std::accumulate(losses.begin(), losses.end(), 0.0f); }

void ExpectEveryParameterHasAGradient(TestModel& model) {
  const float* gradient = model.arena().gradients().data<float>();
  for (const Parameter* parameter : model.arena().parameters()) {
    if (!parameter->options.trainable) continue;
    double sum = 0;
    for (int64_t i = 0; i < parameter->shape.size(); ++i) {
      ASSERT_TRUE(std::isfinite(gradient[parameter->offset + i])) << parameter->name;
      sum += std::abs(gradient[parameter->offset + i]);
    }
    EXPECT_GT(sum, 0) << parameter->name;
  }
}

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
  TestModel exact(config);
  const std::vector<float> losses = exact.Step(exact.MakeBatch({3, 1, 2}, 4, 1), true);
  const std::vector<float> gradient = exact.arena().gradients().ToVector<float>();
  for (const Precision precision : {Precision::kBfloat16, Precision::kFloat16}) {
    SCOPED_TRACE(precision == Precision::kBfloat16 ? "bfloat16" : "float16");
    TestModel model(config, 2, 1, precision);
    const std::vector<float> actual = model.Step(model.MakeBatch({3, 1, 2}, 4, 1), true);
    for (size_t k = 0; k < losses.size(); ++k) {
      EXPECT_NEAR(actual[k], losses[k], 0.02 * losses[k]);
      EXPECT_NE(actual[k], losses[k]) << "nothing was rounded";
    }
    ExpectEveryParameterHasAGradient(model);
    const std::vector<float> rounded = model.arena().gradients().ToVector<float>();
    double along = 0, square = 0, rounded_square = 0;
    for (size_t i = 0; i < gradient.size(); ++i) {
      along += static_cast<double>(gradient[i]) * rounded[i];
      square += static_cast<double>(gradient[i]) * gradient[i];
      rounded_square += static_cast<double>(rounded[i]) * rounded[i];
    }
    // Rounding closes relus and swaps hard negatives; bfloat16's is 8 times as coarse.
    EXPECT_GT(along / std::sqrt(square * rounded_square), precision == Precision::kBfloat16 ? 0.95 : 0.98);
    EXPECT_NEAR(std::sqrt(rounded_square / square), 1, 0.05);
  }
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
  const std::vector<float> both = model.Step(batch, false), first = model.Step(SliceBatch(batch, 0, 1), false);
  EXPECT_NEAR(both[0], first[0], 1e-5 * first[0]);
  EXPECT_NEAR(both[1], first[1], 1e-5 * first[1]);
}

// Along each parameter's own gradient, where the change is largest, the loss has to change by the gradient's norm.
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
  model.Step(batch, true);
  const std::vector<float> gradients = model.arena().gradients().ToVector<float>();
  float* values = model.arena().values().data<float>();
  for (const Parameter* parameter : model.arena().parameters()) {
    if (!parameter->options.trainable) continue;
    const int64_t begin = parameter->offset, end = begin + parameter->shape.size();
    double norm = 0;
    for (int64_t i = begin; i < end; ++i) norm += static_cast<double>(gradients[i]) * gradients[i];
    norm = std::sqrt(norm);
    ASSERT_GT(norm, 0) << parameter->name;
    const std::vector<float> before(values + begin, values + end);
    const float reach = static_cast<float>(2e-3 / std::max(norm, 0.2));
    const auto loss_at = [&](float distance) {
      for (int64_t i = begin; i < end; ++i) {
        values[i] = before[i - begin] + distance * gradients[i] / static_cast<float>(norm);
      }
      const std::vector<float> losses = model.Step(batch, false);
      std::copy(before.begin(), before.end(), values + begin);
      return static_cast<double>(losses[0]) + losses[1];
    };
    const double slope = (loss_at(reach) - loss_at(-reach)) / (2 * reach);
    EXPECT_NEAR(slope, norm, 0.03 * norm + 2e-3) << parameter->name;
  }
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

  Context context(model.device());
  const auto detections = model.detector().Detect(context, batch.images);
  ASSERT_TRUE(detections.ok()) << detections.status();
  ASSERT_EQ(detections->size(), 2u);
  const std::vector<float> boxes = batch.boxes.ToVector<float>();
  const std::vector<int32_t> labels = batch.labels.ToVector<int32_t>();
  for (int n = 0; n < 2; ++n) {
    const Detections& found = (*detections)[n];
    for (size_t i = 1; i < found.size(); ++i) EXPECT_LE(found[i].score, found[i - 1].score);
    for (int g = 0; g < 2; ++g) {
      if (labels[n * 2 + g] < 0) continue;
      Box box;
      box.x1 = boxes[(n * 2 + g) * 4];
      box.y1 = boxes[(n * 2 + g) * 4 + 1];
      box.x2 = boxes[(n * 2 + g) * 4 + 2];
      box.y2 = boxes[(n * 2 + g) * 4 + 3];
      const bool is_found = std::any_of(found.begin(), found.end(), [&](const Detection& detection) {
        return detection.label == labels[n * 2 + g] && detection.score > 0.5f && Iou(detection.box, box) > 0.5f;
      });
      EXPECT_TRUE(is_found) << "object " << g << " of image " << n;
    }
  }
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

  const Batch halves[] = {SliceBatch(batch, 0, 2), SliceBatch(batch, 2, 4)};
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

// With norm over the global batch, and workers that really meet.
TEST(Ssd, WorkersWithSynchronizedNormAddUpToOne) {
  ResNetSmallConfig backbone = TinyBackbone();
  backbone.mutable_norm()->set_mode(NormConfig::SYNCHRONIZED);
  backbone.set_top_down_channels(8);
  const SsdConfig config = TinySsd(backbone);
  const std::vector<int> objects = {1, 0, 4, 3};
  TestModel alone(config);
  const std::vector<float> whole = alone.Step(alone.MakeBatch(objects, 4, 7), true);
  const std::vector<float> whole_gradient = alone.arena().gradients().ToVector<float>();
  const std::vector<float> whole_buffers = alone.arena().buffer_values().ToVector<float>();

  for (int workers : {2, 4}) {
    std::vector<std::vector<float>> losses(workers), gradients(workers), buffers(workers);
    const Status status = MakeThreadLauncher(30)->Run(workers, [&](Communicator& communicator) {
      TestModel model(config);
      const int share = 4 / workers, rank = communicator.rank();
      const Batch batch = SliceBatch(model.MakeBatch(objects, 4, 7), rank * share, (rank + 1) * share);
      losses[rank] = model.Step(batch, true, &communicator);
      gradients[rank] = model.arena().gradients().ToVector<float>();
      buffers[rank] = model.arena().buffer_values().ToVector<float>();
      return absl::OkStatus();
    });
    ASSERT_TRUE(status.ok()) << status;
    for (size_t k = 0; k < whole.size(); ++k) {
      float sum = 0;
      for (const std::vector<float>& of_worker : losses) sum += of_worker[k];
      EXPECT_NEAR(sum, whole[k], 1e-5 * whole[k]) << workers << " workers";
    }
    double difference = 0, norm = 0;
    for (size_t i = 0; i < whole_gradient.size(); ++i) {
      double sum = 0;
      for (const std::vector<float>& of_worker : gradients) sum += of_worker[i];
      difference += std::pow(sum - whole_gradient[i], 2);
      norm += std::pow(whole_gradient[i], 2);
    }
    EXPECT_LT(std::sqrt(difference), 1e-5 * std::sqrt(norm)) << workers << " workers";
    for (const std::vector<float>& of_worker : buffers) {
      for (size_t i = 0; i < whole_buffers.size(); ++i) EXPECT_NEAR(of_worker[i], whole_buffers[i], 1e-5);
    }
  }
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

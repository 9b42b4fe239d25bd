// Training steps of a small SSD, each function in it included, on a device that runs beside the host: piece by piece
// and recorded, against the CPU that runs work at once.
#include <gtest/gtest.h>

#include "core/base/registry.h"
#include "core/train/optimizers/adam.pb.h"
#include "core/train/train_step.h"
#include "models/backbones/resnet_small.pb.h"
#include "models/ssd/ssd.h"
#include "models/ssd/ssd.pb.h"
#include "parallel/communicator/thread/thread_communicator.h"
#include "tests/core/testing/async_device.h"

namespace trireme {
namespace {

constexpr int64_t kSteps = 6;
constexpr int64_t kImages = 2, kPlaces = 2;
constexpr int kSize = 64;

SsdConfig TinySsd(NormConfig::Mode norm) {
  ResNetSmallConfig backbone;
  backbone.set_stem_channels(8);
  for (int channels : {8, 16, 24}) backbone.add_stage()->set_channels(channels);
  backbone.mutable_norm()->set_mode(norm);
  SsdConfig config;
  config.set_num_classes(2);
  config.set_image_size(kSize);
  config.mutable_backbone()->set_type_url("backbone/resnet_small");
  config.mutable_backbone()->set_value(backbone.SerializeAsString());
  for (float scale : {0.2f, 0.4f, 0.8f}) config.mutable_anchors()->add_scales(scale);
  return config;
}

// Always in the same tensors.
class RandomBatches {
 public:
  explicit RandomBatches(Device& device) : device_(device), pixels_(kImages * kSize * kSize * 3) {
    batch_.images = Tensor::Zeros(device, {kImages, kSize, kSize, 3}, DataType::kUint8);
    batch_.boxes = Tensor::Zeros(device, {kImages, kPlaces, 4});
    batch_.labels = Tensor::Zeros(device, {kImages, kPlaces}, DataType::kInt32);
    batch_.image_ids.assign(kImages, 0);
  }
  const Batch& Of(int64_t step) {
    Random random(7, RandomUse::kSynthesis, static_cast<uint64_t>(step));
    for (uint8_t& pixel : pixels_) pixel = static_cast<uint8_t>(random.Below(256));
    std::vector<float> boxes;
    std::vector<int32_t> labels;
    for (int64_t i = 0; i < kImages * kPlaces; ++i) {
      const float left = random.Uniform(0, 30), top = random.Uniform(0, 30);
      boxes.insert(boxes.end(), {left, top, left + random.Uniform(10, 30), top + random.Uniform(10, 30)});
      labels.push_back(i % 3 == 2 ? -1 : static_cast<int32_t>(random.Below(2)));
    }
    batch_.images.CopyFromHost(pixels_.data());
    batch_.boxes.CopyFromHost(boxes.data());
    batch_.labels.CopyFromHost(labels.data());
    return batch_;
  }

 private:
  Device& device_;
  std::vector<uint8_t> pixels_;
  Batch batch_;
};

template <class Contract>
std::unique_ptr<Contract> Make(const std::string& key, const typename Contract::BuildArgs& args) {
  google::protobuf::Any any;
  any.set_type_url(key);
  return CreateComponent<Contract>(any, Contract::kKind, args).value();
}

struct Result {
  std::vector<float> parameters, buffers;
  std::vector<std::vector<float>> losses;
  int num_recorded = 0;
};

Result Train(Device& device, Precision precision, NormConfig::Mode norm) {
  Result result;
  device.BindToThisThread();
  const Status status = MakeThreadLauncher(60)->Run(1, [&](Communicator& communicator) -> Status {
    device.BindToThisThread();
    TRIREME_ASSIGN_OR_RETURN(const auto detector, MakeSsd(TinySsd(norm), {}));
    TRIREME_ASSIGN_OR_RETURN(const auto arena,
                             ParameterArena::Build(detector.get(), device, 1, 1, ActivationType(precision)));
    const auto optimizer = Make<Optimizer>("optimizer/adam", {});
    const auto strategy = Make<Strategy>("strategy/ring_all_reduce", {arena.get(), optimizer.get(), &communicator});
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    StepGuardOptions of_guard;
    of_guard.loss_scale.enabled = precision == Precision::kFloat16;
    StepGuard guard(*arena, communicator, of_guard);
    StepResults results(device, communicator);
    TrainStepOptions options;
    options.precision = precision;
    TrainStep step({&device, &communicator, detector.get(), arena.get(), optimizer.get(), strategy.get(), &guard},
                   &results, options);
    RandomBatches batches(device);
    for (int64_t s = 0; s < kSteps; ++s) {
      TRIREME_RETURN_IF_ERROR(
          step.Run(s, 1e-3f / static_cast<float>(1 + s), {batches.Of(s)}, [] { return WorkerNote(); }));
      if (results.num_unread() == 2) result.losses.push_back(results.Read().losses[0]);
    }
    result.losses.push_back(results.Read().losses[0]);
    result.parameters = arena->values().ToVector<float>();
    result.buffers = arena->buffer_values().ToVector<float>();
    result.num_recorded = step.num_recorded();
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return result;
}

class SsdStepTest : public ::testing::TestWithParam<std::tuple<Precision, NormConfig::Mode>> {};

TEST_P(SsdStepTest, GivesTheSameBitsBesideTheHostAndRecorded) {
  const auto [precision, norm] = GetParam();
  const auto cpu = *MakeDevice("cpu", 1);
  const Result expected = Train(*cpu, precision, norm);
  ASSERT_EQ(expected.losses.size(), static_cast<size_t>(kSteps));
  for (const std::vector<float>& losses : expected.losses) {
    for (float loss : losses) EXPECT_TRUE(std::isfinite(loss) && loss > 0) << loss;
  }
  EXPECT_NE(expected.losses[0], expected.losses[1]);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    for (bool can_capture : {false, true}) {
      testing::AsyncDeviceOptions options;
      options.seed = seed;
      options.can_capture = can_capture;
      const auto device = testing::MakeAsyncDevice(options);
      const Result result = Train(*device, precision, norm);
      EXPECT_EQ(result.num_recorded, can_capture ? 1 : 0);
      EXPECT_EQ(result.losses, expected.losses) << "seed " << seed << (can_capture ? ", recorded" : "");
      EXPECT_TRUE(result.parameters == expected.parameters) << "seed " << seed << (can_capture ? ", recorded" : "");
      EXPECT_TRUE(result.buffers == expected.buffers) << "seed " << seed << (can_capture ? ", recorded" : "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Precisions, SsdStepTest,
    ::testing::Combine(::testing::Values(Precision::kFloat32, Precision::kBfloat16, Precision::kFloat16),
                       ::testing::Values(NormConfig::SYNCHRONIZED, NormConfig::PER_WORKER, NormConfig::FROZEN)));

}  // namespace
}  // namespace trireme

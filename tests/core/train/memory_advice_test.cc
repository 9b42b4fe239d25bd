#include "core/train/memory_advice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/autograd/tape.h"
#include "core/device/parallel_for.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;

// Activations of 3 MiB, and of `each` bytes an image, which live until the backward pass.
class HungryDetector : public Detector {
 public:
  explicit HungryDetector(int64_t each) : each_(each), weight_(AddParameter("weight", {1 << 19}, init::Constant(0))) {}
  ImageSpec image_spec() const override { return {1, 1}; }
  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override {
    Device& device = context.device;
    const Var weight = weight_.var;
    const Tensor fixed = Tensor::Empty(device, {3 * kMiB / 4});
    std::vector<Tensor> of_images;
    for (int64_t i = 0; i < batch.images.dim(0); ++i) of_images.push_back(Tensor::Empty(device, {each_ / 4}));
    const Tensor loss = Tensor::Zeros(device, {1});
    return NamedLosses{{"loss", Record(context, "hungry", loss, {weight}, [&device, weight, fixed, of_images](Tensor) {
                          bool accumulate = false;
                          weight.GradientTarget(&accumulate).Zero(device.compute_stream());
                        })}};
  }
  StatusOr<std::vector<Detections>> Detect(Context&, const Tensor&, const Tensor&) override {
    return std::vector<Detections>();
  }

 private:
  const int64_t each_;
  Parameter& weight_;
};

struct Setting {
  Setting(int64_t limit, int64_t each, int64_t images) : detector(each) {
    DeviceOptions options;
    options.name = "cpu";
    options.threads = 1;
    options.memory_limit = limit;
    device = *MakeDevice(options);
    arena = *ParameterArena::Build(&detector, *device, 1, 1);
    arena->gradients();  // as a strategy does before the first step
    batch.images = Tensor::Zeros(*device, {images, 1, 1, 3}, DataType::kUint8);
    batch.boxes = Tensor::Zeros(*device, {images, 1, 4});
    batch.labels = Tensor::Zeros(*device, {images, 1}, DataType::kInt32);
    batch.image_ids.assign(static_cast<size_t>(images), 0);
    trial.device = device.get();
    trial.detector = &detector;
    trial.arena = arena.get();
    trial.batch = &batch;
  }

  // As a step would.
  Status Step(int64_t images) {
    return CatchDeviceError([&]() -> Status {
      Tape tape(arena->Vars(), nullptr);
      Context context(*device);
      context.tape = &tape;
      context.training = true;
      Batch part = batch;
      part.images = batch.images.Slice(0, images);
      TRIREME_ASSIGN_OR_RETURN(const NamedLosses losses, detector.Loss(context, part));
      tape.Backward({losses[0].second}, device->compute_stream());
      return absl::OkStatus();
    });
  }

  std::unique_ptr<Device> device;
  HungryDetector detector;
  std::unique_ptr<ParameterArena> arena;
  Batch batch;
  MemoryTrial trial;
};

TEST(MemoryAdviceTest, NamesTheLargestBatchThatFitsAndWhoTookTheMemory) {
  for (const int64_t limit : {20, 33, 64, 100}) {
    for (const int64_t each : {2 * kMiB, 3 * kMiB + 64 * 1000, 6 * kMiB}) {
      Setting setting(limit * kMiB, each, 64);
      setting.trial.workers = 3;
      const Status fault = setting.Step(64);
      ASSERT_EQ(fault.code(), absl::StatusCode::kResourceExhausted);
      int64_t fits = 0;
      while (setting.Step(fits + 1).ok()) ++fits;
      ASSERT_GT(fits, 0);
      const Status advice = AdviseOnMemory(fault, setting.trial);
      EXPECT_EQ(advice.code(), absl::StatusCode::kResourceExhausted);
      EXPECT_THAT(std::string(advice.message()),
                  AllOf(HasSubstr(std::string(fault.message())), HasSubstr("activations take "),
                        HasSubstr("parameters 3 MiB"), HasSubstr("gradients 2 MiB"), HasSubstr("precision: BF16")));
      // The pool's rounding may cost one image in ten.
      bool named = false;
      for (int64_t images = std::max<int64_t>(1, fits * 9 / 10 - 1); images <= fits; ++images) {
        named = named || std::string(advice.message())
                                 .find(absl::StrCat(" ", images, " of the 64 images a worker would fit: set ",
                                                    "global_batch_size to ", 3 * images)) != std::string::npos;
      }
      EXPECT_TRUE(named) << advice << "\n" << fits << " fit in " << limit << " MiB, " << each << " bytes each";
    }
  }
}

TEST(MemoryAdviceTest, SaysWhenNothingFits) {
  Setting setting(12 * kMiB, 8 * kMiB, 4);
  setting.trial.precision = Precision::kFloat32;
  const Status fault = setting.Step(4);
  ASSERT_EQ(fault.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(AdviseOnMemory(fault, setting.trial).message()),
              HasSubstr("Not even one image a worker fits"));
  Setting one(12 * kMiB, 8 * kMiB, 1);
  const Status of_one = one.Step(1);
  ASSERT_EQ(of_one.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(AdviseOnMemory(of_one, one.trial).message()), HasSubstr("Not even one image a worker fits"));
}

TEST(MemoryAdviceTest, TwoImagesOrOne) {
  Setting setting(20 * kMiB, 10 * kMiB, 2);
  const Status fault = setting.Step(2);
  ASSERT_EQ(fault.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(AdviseOnMemory(fault, setting.trial).message()),
              HasSubstr("1 of the 2 images a worker would fit: set global_batch_size to 1"));
}

}  // namespace
}  // namespace trireme

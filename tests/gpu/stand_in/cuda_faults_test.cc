// The CUDA device in whole training runs, on a runtime that stands in for CUDA's: calls keep CUDA's rules, and whatever
// call fails, with whatever error, the run ends in one sentence, gives back all it had, and neither hangs nor crashes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/device/device.h"
#include "data/loader/loader.h"
#include "parallel/communicator/thread/thread_communicator.h"
#include "tests/core/train/toy_run.h"
#include "tests/gpu/stand_in/cuda_runtime.h"

namespace trireme {
namespace {

using testing::CudaFault;
using testing::CudaStandInCalls;
using testing::CudaStandInFaultyFunction;
using testing::CudaStandInGraphLaunches;
using testing::CudaStandInLeftovers;
using testing::CudaStandInOffences;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::Plan;
using testing::StartCudaStandIn;
using testing::Steps;

// The second device, so that a thread that has not chosen it is seen.
constexpr char kDevice[] = "cuda:1";

// Kernels that do nothing leave a guard that applies no step; in float16 that is nothing to be explained.
constexpr Precision kPrecision = Precision::kFloat16;

// Enqueued, captured and launched steps, and an evaluation.
Status TrainAlone() {
  Plan plan = Steps(5);
  plan.device = kDevice;
  plan.options.evaluate_every = 4;
  plan.options.step.precision = kPrecision;
  return testing::Train(plan).statuses[0];
}

// In float32 each such step is computed once more, to be explained.
Status TrainExplained() {
  Plan plan = Steps(3);
  plan.device = kDevice;
  plan.options.most_not_finite_in_a_row = 1000;
  return testing::Train(plan).statuses[0];
}

// Two workers on the one GPU.
Status TrainTogether() {
  Plan plan = Steps(3, 2);
  plan.options.step.precision = kPrecision;
  Outcome outcome = testing::Empty(plan);
  return MakeThreadLauncher(20)->Run(2, [&](Communicator& communicator) -> Status {
    TRIREME_ASSIGN_OR_RETURN(const auto device, MakeDevice(kDevice, 1));
    device->BindToThisThread();
    return TrainOn(plan, *device, communicator, nullptr, &outcome);
  });
}

class GreyDataset : public Dataset {
 public:
  int64_t size() const override { return 40; }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int max_objects() const override { return 1; }
  // Now and then one that its room is too small for.
  Status Get(int64_t index, Sample* sample) const override {
    const int extent = index % 7 == 6 ? 200 : 20;
    sample->SetImage(Image(extent, extent));
    sample->id = index;
    return absl::OkStatus();
  }

 private:
  const std::vector<std::string> class_names_ = {"grey"};
};

Status Load() {
  TRIREME_ASSIGN_OR_RETURN(const auto device, MakeDevice(kDevice, 1));
  return CatchDeviceError([&]() -> Status {
    device->BindToThisThread();
    const GreyDataset dataset;
    FaultLog faults;
    LoaderOptions options;
    options.global_batch_size = 4;
    options.image = {20, 20};
    // One, so that there is none to which a call fails and no image comes.
    options.threads = 1;
    options.total_steps = 8;
    Loader loader(&dataset, {}, &faults, device.get(), options);
    Batch batch;
    for (int64_t step = 0; step < options.total_steps; ++step) TRIREME_RETURN_IF_ERROR(loader.Next(step, &batch));
    device->compute_stream().Synchronize();
    return absl::OkStatus();
  });
}

struct Run {
  const char* name;
  Status (*run)();
  bool captures;
};

class CudaFaultsTest : public ::testing::TestWithParam<Run> {};

TEST_P(CudaFaultsTest, ARunKeepsTheRulesOfCuda) {
  StartCudaStandIn();
  const Status status = GetParam().run();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(CudaStandInOffences(), IsEmpty());
  EXPECT_THAT(CudaStandInLeftovers(), IsEmpty());
  EXPECT_GT(CudaStandInCalls(), 50);
  EXPECT_EQ(CudaStandInGraphLaunches() > 0, GetParam().captures);
}

TEST_P(CudaFaultsTest, ADeviceThatIsGoneIsOneSentenceWhateverCallMeetsIt) {
  StartCudaStandIn();
  ASSERT_TRUE(GetParam().run().ok());
  const int64_t calls = CudaStandInCalls();
  int ended = 0;
  for (int64_t call = 1; call <= calls; ++call) {
    for (const cudaError_t error : {cudaErrorDevicesUnavailable, cudaErrorUnknown, cudaErrorLaunchFailure}) {
      StartCudaStandIn({call, error, /*lasts=*/true});
      const Status status = GetParam().run();
      const std::string what = absl::StrCat("call ", call, ", ", CudaStandInFaultyFunction(), ": ", status.ToString());
      EXPECT_THAT(CudaStandInLeftovers(), IsEmpty()) << what;
      if (status.ok()) continue;
      ++ended;
      EXPECT_THAT(std::string(status.message()), HasSubstr(cudaGetErrorName(error))) << what;
      EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << what;
    }
  }
  // Not those that end what has served.
  EXPECT_GT(ended, calls * 3 / 2);
}

TEST_P(CudaFaultsTest, ACallThatFailsOnceIsOneSentence) {
  StartCudaStandIn();
  ASSERT_TRUE(GetParam().run().ok());
  const int64_t calls = CudaStandInCalls();
  for (int64_t call = 1; call <= calls; ++call) {
    StartCudaStandIn({call, cudaErrorInvalidValue, /*lasts=*/false});
    const Status status = GetParam().run();
    const std::string function = CudaStandInFaultyFunction();
    const std::string what = absl::StrCat("call ", call, ", ", function, ": ", status.ToString());
    EXPECT_THAT(CudaStandInLeftovers(), IsEmpty()) << what;
    if (!status.ok()) {
      EXPECT_THAT(std::string(status.message()), HasSubstr("cudaErrorInvalidValue")) << what;
      continue;
    }
    // Nothing is lost where one of these fails: what gives back, and what asks or waits in a destructor.
    EXPECT_THAT(function, ::testing::AnyOf("cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaEventDestroy",
                                           "cudaGraphDestroy", "cudaGraphExecDestroy", "cudaStreamSynchronize",
                                           "cudaDeviceGetAttribute", ""))
        << what;
  }
}

// What to do about it.
TEST(CudaFaultAdviceTest, AfterTheStartEveryWordForNoDeviceMeansThatItIsGone) {
  StartCudaStandIn();
  ASSERT_TRUE(TrainAlone().ok());
  const int64_t middle = CudaStandInCalls() / 2;
  for (const cudaError_t error : {cudaErrorNoDevice, cudaErrorInvalidDevice, cudaErrorDevicesUnavailable,
                                  cudaErrorInitializationError, cudaErrorSystemNotReady, cudaErrorECCUncorrectable,
                                  cudaErrorUnknown, cudaErrorContextIsDestroyed, cudaErrorOperatingSystem}) {
    StartCudaStandIn({middle, error, true});
    const Status status = TrainAlone();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_THAT(std::string(status.message()),
                ::testing::AllOf(HasSubstr(" failed on cuda:1: "), HasSubstr("the device has failed or is gone"),
                                 HasSubstr("--resume goes on from the last checkpoint"), HasSubstr("nvidia-smi")));
  }
}

INSTANTIATE_TEST_SUITE_P(Runs, CudaFaultsTest,
                         ::testing::Values(Run{"train", TrainAlone, true}, Run{"workers", TrainTogether, false},
                                           Run{"explained", TrainExplained, true}, Run{"load", Load, false}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace trireme

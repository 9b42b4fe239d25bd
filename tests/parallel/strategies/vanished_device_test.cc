// Two workers on one device that fails under any strategy, whatever call of one of them meets it: the job ends with
// what the device said, nobody waits for a deadline, and nothing is left on the device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "core/train/optimizers/sgd.pb.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

constexpr int kWorkers = 2;
constexpr int64_t kSteps = 2;

struct Trial {
  Status status;
  int64_t calls = 0;  // that the last worker made of its device
  int64_t bytes_left = 0;
};

Status Train(const std::string& text, Communicator& communicator, Device& device) {
  ToyModel model;
  TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, kWorkers, 5));
  TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/sgd", SgdConfig()));
  TRIREME_ASSIGN_OR_RETURN(const auto strategy, MakeStrategy(text, {arena.get(), optimizer.get(), &communicator}));
  TRIREME_RETURN_IF_ERROR(strategy->Setup());
  for (int64_t step = 0; step < kSteps; ++step) {
    optimizer->BeginStep(step, 0.01f, device.compute_stream());
    strategy->BeginStep(step);
    const std::vector<Parameter*> parameters = arena->parameters();
    for (auto parameter = parameters.rbegin(); parameter != parameters.rend(); ++parameter) {
      strategy->OnGradientReady((*parameter)->index);
    }
    NoGuard guard;
    TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
  }
  TRIREME_RETURN_IF_ERROR(strategy->Settle());
  device.compute_stream().Synchronize();
  return communicator.status();
}

Trial TrainWithFault(const std::string& text, int64_t fails_at, bool recovers) {
  testing::AsyncDeviceOptions options;
  options.seed = static_cast<uint64_t>(fails_at);
  const auto hardware = testing::MakeAsyncDevice(options);
  options.beside = hardware.get();
  Trial trial;
  std::atomic<int64_t> bytes_left{0};
  trial.status = MakeThreadLauncher(60)->Run(kWorkers, [&](Communicator& communicator) {
    testing::AsyncDeviceOptions mine = options;
    const bool last = communicator.rank() == kWorkers - 1;
    if (last) mine.fails_at = fails_at;
    mine.recovers = recovers;
    const auto device = testing::MakeAsyncDevice(mine);
    const Status status = CatchDeviceError([&] {
      device->BindToThisThread();
      return Train(text, communicator, *device);
    });
    for (const int64_t bytes : device->memory().in_use) bytes_left += bytes;
    if (last) trial.calls = device->calls();
    return status;
  });
  trial.bytes_left = bytes_left;
  return trial;
}

class VanishedDevice : public ::testing::TestWithParam<std::string> {};

TEST_P(VanishedDevice, EndsTheJobUnderEveryStrategy) {
  const Trial whole = TrainWithFault(GetParam(), 0, false);
  ASSERT_TRUE(whole.status.ok()) << whole.status;
  ASSERT_GT(whole.calls, 30);
  for (const bool recovers : {false, true}) {
    for (int64_t call = 1 + recovers; call <= whole.calls; call += 1 + whole.calls / 20) {
      const Trial trial = TrainWithFault(GetParam(), call, recovers);
      EXPECT_EQ(trial.status.code(), absl::StatusCode::kUnavailable) << "call " << call << ": " << trial.status;
      EXPECT_THAT(std::string(trial.status.message()), ::testing::HasSubstr(testing::kGone)) << "call " << call;
      EXPECT_EQ(trial.bytes_left, 0) << "call " << call;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Strategies, VanishedDevice, ::testing::ValuesIn(SynchronousStrategies(kWorkers)),
                         [](const auto& info) { return absl::StrCat("number", info.index); });

}  // namespace
}  // namespace trireme

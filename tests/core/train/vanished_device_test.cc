// A device that fails in the middle of a run: whatever call of it fails, in whatever step, the trainer ends with what
// it said, peers are told, nothing hangs and nothing is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/train/toy_run.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::kGone;
using testing::Outcome;
using testing::Plan;
using testing::Steps;
using testing::TemporaryFolder;
using testing::Train;

// Enqueued, captured and launched steps, a checkpoint and an evaluation.
Plan ShortRun(int world_size, bool record) {
  Plan plan = Steps(4, world_size);
  plan.asynchronous = 1;
  plan.options.step.may_record = record;
  plan.options.checkpoint_every = 3;
  plan.options.evaluate_every = 3;
  return plan;
}

struct Kind {
  int world_size;
  bool record;
  bool recovers;
  int64_t stride;  // of the calls that are tried
};

class VanishedDevice : public ::testing::TestWithParam<Kind> {};

TEST_P(VanishedDevice, IsTheRunsStatusWhateverCallMeetsIt) {
  const Kind kind = GetParam();
  const TemporaryFolder folder;
  Plan plan = ShortRun(kind.world_size, kind.record);
  plan.run_folder = folder / "whole";
  const Outcome whole = Train(plan);
  for (const Status& status : whole.statuses) ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(whole.num_recorded, kind.record ? 1 : 0);
  ASSERT_GT(whole.calls, 50);
  ASSERT_EQ(whole.bytes_left, 0);

  plan.recovers = kind.recovers;
  plan.run_folder = folder / "cut";
  for (plan.fails_at = 1; plan.fails_at <= whole.calls; plan.fails_at += kind.stride) {
    plan.asynchronous = 1 + static_cast<uint64_t>(plan.fails_at) % 7;
    const Outcome outcome = Train(plan);
    // A peer that has nothing more to hear from the last rank may be through by then.
    const bool through = outcome.notes.events == whole.notes.events;
    EXPECT_FALSE(outcome.statuses.back().ok());
    for (const Status& status : outcome.statuses) {
      if (status.ok() && through) continue;
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << "call " << plan.fails_at << ": " << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(kGone)) << "call " << plan.fails_at;
    }
    EXPECT_EQ(outcome.bytes_left, 0) << "call " << plan.fails_at;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, VanishedDevice,
                         ::testing::Values(Kind{1, true, false, 1}, Kind{1, true, true, 2}, Kind{1, false, false, 3},
                                           Kind{2, true, false, 2}, Kind{2, true, true, 3}, Kind{2, false, true, 5}));

// What is on the disk by then is whole: going on from it gives the bits of a run that nothing befell.
TEST(VanishedDeviceTest, TheLastCheckpointIsWhole) {
  const TemporaryFolder folder;
  Plan plan = ShortRun(2, true);
  plan.run_folder = folder / "whole";
  const Outcome whole = Train(plan);
  int resumed = 0;
  for (int64_t call = whole.calls; call > 0 && resumed < 6; call -= 5) {
    Plan cut = plan;
    cut.run_folder = folder / absl::StrCat("cut", call);
    cut.fails_at = call;
    Train(cut);
    const auto newest = FindCheckpoint(cut.run_folder);
    if (!newest.ok()) continue;
    ++resumed;
    Plan rest = plan;
    rest.run_folder = cut.run_folder;
    rest.resume = *newest;
    rest.options.first_step = ReadCheckpointInfo(*newest)->step;
    const Outcome outcome = Train(rest);
    for (const Status& status : outcome.statuses) ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(outcome.values, whole.values) << "call " << call;
  }
  EXPECT_GT(resumed, 0);
}

}  // namespace
}  // namespace trireme

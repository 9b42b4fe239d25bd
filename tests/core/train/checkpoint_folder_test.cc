#include "core/train/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <thread>

#include "core/base/files.h"
#include "tests/core/testing/names_in.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::NamesIn;
using testing::TemporaryFolder;

Status Save(const std::string& run, int keep, int64_t step) {
  CheckpointInfo info;
  info.step = step;
  info.class_names = {"cell"};
  CheckpointContent content;
  content.model.arrays.push_back({"weight", {3}, {1, 2, 3}});
  return WriteCheckpoint(run, keep, info, content);
}

TEST(CheckpointFolderTest, KeepsTheNewest) {
  const TemporaryFolder run;
  for (int64_t step : {5, 99999998, 99999999, 100000000, 100000001}) {
    ASSERT_TRUE(Save(run.path(), 3, step).ok());
    EXPECT_EQ(ReadCheckpointInfo(*FindCheckpoint(run.path()))->step, step);
  }
  EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_100000000", "step_100000001", "step_99999999"));
  // The same step again replaces it; `keep` of 0 keeps what was just written.
  ASSERT_TRUE(Save(run.path(), 0, 100000001).ok());
  EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_100000001"));
}

TEST(CheckpointFolderTest, KeepsTheBest) {
  const TemporaryFolder run;
  EXPECT_EQ(BestCheckpoint(run.path()), "");
  for (int64_t step : {1, 2, 3, 4, 5}) {
    ASSERT_TRUE(Save(run.path(), 1, step).ok());
    if (step == 2 || step == 4) {
      ASSERT_TRUE(LinkBest(run.path(), 1, step).ok());
    }
    EXPECT_EQ(ReadCheckpointInfo(*FindCheckpoint(run.path()))->step, step);
    if (step >= 2) {
      EXPECT_EQ(ReadCheckpointInfo(*FindCheckpoint(run / "best"))->step, step < 4 ? 2 : 4);
    }
    if (step == 4) {
      EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_00000004")) << "the former best has gone";
    }
  }
  EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_00000004", "step_00000005"));
  const std::string best = BestCheckpoint(run.path());
  EXPECT_EQ(best, run / "checkpoints/step_00000004");
  EXPECT_EQ(ReadEvaluation(best, "mAP50"), std::nullopt);
  ASSERT_TRUE(WriteEvaluation(best, {{"mAP50", 0.25}, {"mAP", NAN}}).ok());
  EXPECT_EQ(ReadEvaluation(best, "mAP50"), 0.25);
  EXPECT_EQ(ReadEvaluation(best, "mAP"), std::nullopt);
  ASSERT_TRUE(WriteFileDurably(best + "/evaluation.json", "{\"mAP50\": 0.").ok());
  EXPECT_EQ(ReadEvaluation(best, "mAP50"), std::nullopt);
}

// Copies, and names that the user gave.
TEST(CheckpointFolderTest, WhatTheUserPutsBesideThemIsNeitherTheNewestNorRemoved) {
  const TemporaryFolder run;
  ASSERT_TRUE(Save(run.path(), 1, 4).ok());
  const std::string folder = run / "checkpoints/";
  const std::vector<std::string> others = {"step_00000004_backup", "step_99", "step_best", "step_bestofall"};
  for (const std::string& name : others) {
    std::filesystem::copy(folder + "step_00000004", folder + name, std::filesystem::copy_options::recursive);
  }
  EXPECT_EQ(*FindCheckpoint(run.path()), folder + "step_00000004");
  EXPECT_EQ(*FindCheckpoint(folder + "step_best"), folder + "step_best") << "which has all files of one";
  ASSERT_TRUE(Save(run.path(), 1, 5).ok());
  EXPECT_EQ(*FindCheckpoint(run.path()), folder + "step_00000005");
  std::vector<std::string> expected = others;
  expected.insert(expected.begin(), "step_00000005");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(NamesIn(folder), expected);
}

// What a process leaves when it is killed half way is never taken for a checkpoint, and goes with the next one.
TEST(CheckpointFolderTest, WhatIsUnfinishedIsNoCheckpoint) {
  const TemporaryFolder run;
  ASSERT_TRUE(MakeFolder(run / "checkpoints/step_00000009.tmp77").ok());
  ASSERT_TRUE(WriteFileDurably(run / "checkpoints/step_00000009.tmp77/checkpoint.json", "{}").ok());
  EXPECT_EQ(FindCheckpoint(run.path()).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Save(run.path(), 2, 4).ok());
  EXPECT_EQ(*FindCheckpoint(run.path()), run / "checkpoints/step_00000004");
  EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_00000004"));
}

// Or whoever is killed while it removes one leaves a half under its name.
TEST(CheckpointFolderTest, OneThatIsRemovedIsThereWholeUntilItIsGone) {
  const TemporaryFolder run;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int64_t step = 1; step <= 200; ++step) EXPECT_TRUE(Save(run.path(), 1, step).ok());
    done = true;
  });
  namespace fs = std::filesystem;
  int seen = 0;
  while (!done) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
      if (entry.path().filename().string().find('.') != std::string::npos) continue;
      for (const char* file : {"model.safetensors", "state.safetensors", "config.pbtxt", "checkpoint.json"}) {
        const bool whole = fs::exists(entry.path() / file, error);
        EXPECT_TRUE(whole || !fs::exists(entry.path(), error)) << entry.path() << " has no " << file;
        ++seen;
      }
    }
  }
  writer.join();
  EXPECT_GT(seen, 100);
}

TEST(CheckpointFolderTest, WhatIsUnfinishedCanBeRemovedWithoutANewOne) {
  const TemporaryFolder run;
  ASSERT_TRUE(Save(run.path(), 2, 4).ok());
  ASSERT_TRUE(MakeFolder(run / "checkpoints/step_00000009.tmp77").ok());
  RemoveUnfinishedCheckpoints(run.path());
  EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_00000004"));
}

TEST(CheckpointFolderTest, AFolderThatIsNoneIsNotFound) {
  const TemporaryFolder run;
  for (const std::string& path : {run.path(), run / "missing", run.Write("file", "")}) {
    const Status status = FindCheckpoint(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }
}

}  // namespace
}  // namespace trireme

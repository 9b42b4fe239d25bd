#include "core/ops/engine_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/ops/conv_problem.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme::ops {
namespace {

EngineChoices SomeChoices() {
  EngineChoices choices;
  choices["plain"] = {0, {}, true};
  choices["with knobs"] = {41, {{2, 17}, {40, -1}, {12, int64_t{1} << 40}}, true};
  choices["a \"quoted\" GPU\n\\, cuDNN 91900, forward bfloat16: [1, 2]"] = {7, {{0, 1}}, false};
  return choices;
}

TEST(EngineChoicesJson, ComesBackAsItWas) {
  const EngineChoices choices = SomeChoices();
  const StatusOr<EngineChoices> read = EngineChoicesFromJson(EngineChoicesToJson(choices));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, choices);
  EXPECT_EQ(EngineChoicesToJson(*read), EngineChoicesToJson(choices));
}

TEST(EngineChoicesJson, ADamagedFileIsAStatus) {
  const std::string whole = EngineChoicesToJson(SomeChoices());
  for (size_t length = 0; length + 2 < whole.size(); ++length) {
    EXPECT_FALSE(EngineChoicesFromJson(whole.substr(0, length)).ok()) << "cut after " << length;
  }
  for (const char* text :
       {"", "[]", "3", "{}", "{\"format\": 2, \"engines\": {}}", "{\"format\": \"1\", \"engines\": {}}",
        "{\"format\": 1}", "{\"format\": 1, \"engines\": []}", "{\"format\": 1, \"engines\": {\"a\": 3}}",
        "{\"format\": 1, \"engines\": {\"a\": {\"engine\": \"1\", \"fused\": true, \"knobs\": {}}}}",
        "{\"format\": 1, \"engines\": {\"a\": {\"engine\": 1.5, \"fused\": true, \"knobs\": {}}}}",
        "{\"format\": 1, \"engines\": {\"a\": {\"engine\": 1, \"fused\": 1, \"knobs\": {}}}}",
        "{\"format\": 1, \"engines\": {\"a\": {\"engine\": 1, \"knobs\": {}}}}",
        "{\"format\": 1, \"engines\": {\"a\": {\"engine\": 1, \"fused\": true}}}",
        "{\"format\": 1, \"engines\": {\"a\": {\"engine\": 1, \"fused\": true, \"knobs\": {\"x\": 1}}}}",
        "{\"format\": 1, \"engines\": {\"a\": {\"engine\": 1, \"fused\": true, \"knobs\": {\"1\": null}}}}"}) {
    EXPECT_FALSE(EngineChoicesFromJson(text).ok()) << text;
  }
  EXPECT_TRUE(EngineChoicesFromJson("{\"format\": 1, \"engines\": {}}").ok());
}

// Whatever single byte is wrong, it is a status or other choices, never a crash.
TEST(EngineChoicesJson, SurvivesEveryChangedByte) {
  const std::string whole = EngineChoicesToJson(SomeChoices());
  int failures = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '"', '{', '9', '\xff'}) {
      std::string damaged = whole;
      damaged[i] = byte;
      failures += !EngineChoicesFromJson(damaged).ok();
    }
  }
  EXPECT_GT(failures, 0);
}

TEST(EngineCache, TheNextProcessFindsWhatWasInserted) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "deep/engines.json";
  const EngineChoice choice = {12, {{3, 4}}, true};
  {
    EngineCache cache(path);
    EXPECT_FALSE(cache.Find("a").has_value());
    cache.Insert("a", choice);
    EXPECT_EQ(cache.Find("a"), choice);
  }
  EXPECT_EQ(EngineCache(path).Find("a"), choice);
}

TEST(EngineCache, SavesBeforeTheEndWhenThereAreMany) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "engines.json";
  EngineCache cache(path);
  for (int i = 0; i < 100; ++i) cache.Insert(std::to_string(i), {i, {}, true});
  EngineCache other(path);
  EXPECT_TRUE(other.Find("0").has_value());
  EXPECT_EQ(other.Find("50")->engine, 50);
}

TEST(EngineCache, TwoProcessesKeepEachOthersChoices) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "engines.json";
  {
    EngineCache first(path), second(path);
    first.Insert("mine", {1, {}, true});
    second.Insert("yours", {2, {}, true});
    first.Insert("both", {3, {}, true});
    second.Insert("both", {3, {}, true});
  }
  const EngineCache third(path);
  EXPECT_EQ(third.Find("mine")->engine, 1);
  EXPECT_EQ(third.Find("yours")->engine, 2);
  EXPECT_EQ(third.Find("both")->engine, 3);
}

TEST(EngineCache, WhoAgreesGetsTheFirstChoiceAndItIsInTheFileAtOnce) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "new/engines.json";
  EngineCache first(path), second(path);
  EXPECT_EQ(first.Agree("a", {1, {}, true}).engine, 1);
  EXPECT_EQ(second.Agree("a", {2, {}, true}).engine, 1);
  EXPECT_EQ(second.Find("a")->engine, 1);
  EXPECT_EQ(first.Agree("a", {3, {}, true}).engine, 1);
  EXPECT_EQ(EngineCache(path).Find("a")->engine, 1);
  EXPECT_EQ(EngineCache("").Agree("a", {4, {}, true}).engine, 4);
}

TEST(EngineCache, WhoReplacesAChoiceThatNoLongerServesAgreesToo) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "engines.json";
  const EngineChoice stale = {9, {}, true};
  EngineCache(path).Agree("a", stale);
  EngineCache first(path), second(path);
  {
    EngineCache third(path);
    EXPECT_EQ(first.Agree("a", {1, {}, true}, stale).engine, 1);
    EXPECT_EQ(second.Agree("a", {2, {}, true}, stale).engine, 1);
    EXPECT_EQ(second.Find("a")->engine, 1);
    // Who has never computed with it does not bring it back.
    EXPECT_EQ(third.Find("a")->engine, 9);
    third.Agree("b", {3, {}, true});
    EXPECT_EQ(EngineCache(path).Find("a")->engine, 1);
    for (int i = 0; i < 40; ++i) third.Insert(std::to_string(i), {i, {}, true});
  }
  EXPECT_EQ(EngineCache(path).Find("a")->engine, 1);
  EXPECT_EQ(EngineCache(path).Find("39")->engine, 39);
  // What replaced it may come to the same end.
  EXPECT_EQ(second.Agree("a", {4, {}, true}, EngineChoice{1, {}, true}).engine, 4);
  EXPECT_EQ(first.Agree("a", {5, {}, true}, EngineChoice{1, {}, true}).engine, 4);
}

// Each process of the job makes a choice of its own for each key, instead of `refused`, which the file holds already.
void ExpectProcessesToAgree(const std::optional<EngineChoice>& refused) {
  constexpr int kProcesses = 4, kKeys = 25;
  const testing::TemporaryFolder folder;
  const std::string path = folder / "engines.json";
  if (refused.has_value()) {
    EngineCache before(path);
    for (int key = 0; key < kKeys; ++key) before.Insert(std::to_string(key), *refused);
  }
  std::vector<pid_t> processes;
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = fork();
    if (child == 0) {
      EngineCache cache(path);
      std::string agreed;
      for (int key = 0; key < kKeys; ++key) {
        absl::StrAppend(&agreed, cache.Agree(std::to_string(key), {process, {}, true}, refused).engine, " ");
      }
      _exit(WriteFileAtomically(folder / absl::StrCat("of", process), agreed).ok() ? 0 : 1);
    }
    processes.push_back(child);
  }
  for (const pid_t child : processes) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }
  const std::string first = ReadFile(folder / "of0").value();
  EXPECT_GE(first.size(), 2u * kKeys);
  EXPECT_EQ(first.find('9'), std::string::npos) << first;
  for (int process = 1; process < kProcesses; ++process) {
    EXPECT_EQ(ReadFile(folder / absl::StrCat("of", process)).value(), first);
  }
}

TEST(EngineCache, ProcessesThatChooseAtTheSameTimeComputeAlike) { ExpectProcessesToAgree(std::nullopt); }

TEST(EngineCache, ProcessesThatReplaceAtTheSameTimeComputeAlike) { ExpectProcessesToAgree(EngineChoice{9, {}, true}); }

TEST(EngineCache, ADamagedFileIsIgnoredAndReplaced) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.Write("engines.json", "{\"format\": 1, \"engines\": {\"a\"");
  {
    EngineCache cache(path);
    EXPECT_FALSE(cache.Find("a").has_value());
    cache.Insert("b", {5, {}, true});
  }
  EXPECT_EQ(EngineCache(path).Find("b")->engine, 5);
}

TEST(EngineCache, AFolderThatCannotBeWrittenIsNoFault) {
  const testing::TemporaryFolder folder;
  const std::string file = folder.Write("file", "");
  EngineCache cache(file + "/engines.json");
  for (int i = 0; i < 100; ++i) cache.Insert(std::to_string(i), {i, {}, true});
  EXPECT_EQ(cache.Find("99")->engine, 99);
}

TEST(EngineCache, DevicesOfOneProcessShareIt) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "engines.json";
  auto one = EngineCache::OfFile(path);
  EXPECT_EQ(one, EngineCache::OfFile(path));
  EXPECT_NE(one, EngineCache::OfFile(folder / "other.json"));
  one->Insert("a", {1, {}, true});
  one.reset();
  EXPECT_EQ(EngineCache::OfFile(path)->Find("a")->engine, 1);
}

TEST(UserCachePath, FollowsTheEnvironment) {
  setenv("XDG_CACHE_HOME", "/somewhere", 1);
  EXPECT_EQ(UserCachePath("x"), "/somewhere/trireme/x");
  setenv("XDG_CACHE_HOME", "", 1);
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(UserCachePath("x"), "/home/me/.cache/trireme/x");
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  EXPECT_EQ(UserCachePath("x"), "");
}

// A choice for one problem must never serve another.
TEST(ConvProblem, WhateverDiffersHasAKeyAndNameOfItsOwn) {
  const ConvProblem base = {{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, ConvPass::kForward, DataType::kFloat32};
  std::vector<ConvProblem> problems = {base};
  for (int64_t ConvShape::*extent :
       {&ConvShape::batch, &ConvShape::in_height, &ConvShape::in_width, &ConvShape::in_channels, &ConvShape::out_height,
        &ConvShape::out_width, &ConvShape::out_channels, &ConvShape::kernel_height, &ConvShape::kernel_width,
        &ConvShape::stride, &ConvShape::padding, &ConvShape::dilation, &ConvShape::groups}) {
    problems.push_back(base);
    problems.back().shape.*extent += 100;
  }
  for (const ConvPass pass : {ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
    problems.push_back(base);
    problems.back().pass = pass;
  }
  for (const DataType type : {DataType::kBfloat16, DataType::kFloat16}) {
    problems.push_back(base);
    problems.back().type = type;
  }
  for (bool ConvProblem::*flag : {&ConvProblem::bias, &ConvProblem::relu, &ConvProblem::tf32}) {
    problems.push_back(base);
    problems.back().*flag = true;
  }
  std::set<ConvKey> keys;
  std::set<std::string> names;
  for (const ConvProblem& problem : problems) {
    keys.insert(KeyOf(problem));
    names.insert(Describe(problem));
  }
  EXPECT_EQ(keys.size(), problems.size());
  EXPECT_EQ(names.size(), problems.size());
}

}  // namespace
}  // namespace trireme::ops

// What the hosts of a job may differ in, and what not.
#include "tools/job/job_facts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/config/config_file.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

// The names of the facts in which a job with `more` in its config differs.
std::vector<std::string> Differences(const std::string& more, const TraceOptions& trace = {}) {
  const auto facts_of = [](const std::string& text, const TraceOptions& trace_options) {
    Job job;
    job.faults = std::make_unique<FaultLog>();
    CHECK(ParseText(text, "test", &job.config).ok()) << text;
    job.train_data = OpenDataset(job.config.train_data(), "train_data", 0, job.faults.get()).value();
    job.trace = trace_options;
    return FactsOf(job);
  };
  const std::string common = "train_data { [dataset/shapes] { num_images: 4 } }\n";
  const std::vector<Fact> here = facts_of(common, {}), there = facts_of(common + more, trace);
  std::vector<std::string> names;
  for (const Fact& fact : there) {
    const bool same = std::any_of(here.begin(), here.end(), [&](const Fact& other) {
      return other.name == fact.name && other.value == fact.value;
    });
    if (!same) names.push_back(fact.name);
  }
  return names;
}

TEST(JobFactsTest, WhatIsAHostsOwnBusinessMayDiffer) {
  EXPECT_EQ(Differences(R"(device: "cuda" devices: [2, 3] loader { threads: 4 } memory_limit_mb: 100
                           memory_at_start_mb: 10 out: "elsewhere" threads_per_worker: 3)"),
            std::vector<std::string>());
}

TEST(JobFactsTest, AllElseMayNot) {
  EXPECT_EQ(Differences("seed: 2"), std::vector<std::string>{"the config's seed"});
  EXPECT_EQ(Differences("workers: 3 clip_gradient_norm: 1"),
            (std::vector<std::string>{"the config's workers", "the config's clip_gradient_norm"}));
  TraceOptions trace;
  trace.file = "trace.json";
  trace.end_step = 4;
  EXPECT_EQ(Differences("", trace), std::vector<std::string>{"the steps that --trace is of"});
}

// Two hosts may have checkpoints of one step that differ: of another run, or half copied.
TEST(JobFactsTest, OneByteOfTheCheckpointMayNot) {
  const testing::TemporaryFolder folder;
  CheckpointInfo info;
  std::vector<std::string> seen;
  const auto describe = [&] {
    const auto bytes = DescribeBytes(folder.path(), info);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(std::count(seen.begin(), seen.end(), *bytes), 0) << *bytes;
    seen.push_back(*bytes);
  };
  const std::string model(1000, 'm'), state(3000, 's');
  folder.Write("model.safetensors", model);
  EXPECT_FALSE(DescribeBytes(folder.path(), info).ok()) << "a file is missing";
  folder.Write("state.safetensors", state);
  describe();
  EXPECT_EQ(*DescribeBytes(folder.path(), info), seen[0]);
  std::string flipped = state;
  flipped[2999] ^= 1;
  folder.Write("state.safetensors", flipped);
  describe();
  folder.Write("state.safetensors", state + "s");
  describe();
  folder.Write("state.safetensors", state);
  flipped = model;
  flipped[0] ^= 64;
  folder.Write("model.safetensors", flipped);
  describe();

  Job job;
  job.faults = std::make_unique<FaultLog>();
  CHECK(ParseText("train_data { [dataset/shapes] { num_images: 4 } }", "test", &job.config).ok());
  job.train_data = OpenDataset(job.config.train_data(), "train_data", 0, job.faults.get()).value();
  job.resumed_bytes = seen[1];
  const std::vector<Fact> facts = FactsOf(job);
  EXPECT_TRUE(std::any_of(facts.begin(), facts.end(), [&](const Fact& fact) {
    return fact.name == "the checkpoint's bytes" && fact.value == seen[1];
  }));
  info.averaged = true;
  EXPECT_FALSE(DescribeBytes(folder.path(), info).ok()) << "what training goes on from is missing";
  folder.Write("trained.safetensors", model);
  describe();
}

}  // namespace
}  // namespace trireme

#include "tools/job/check_numbers.h"

#include <gtest/gtest.h>

#include "core/config/config_file.h"

namespace trireme {
namespace {

Config Parsed(const std::string& text) {
  Config config;
  const Status read = ParseText("steps: 1 global_batch_size: 4 " + text, "test", &config);
  EXPECT_TRUE(read.ok()) << read;
  return config;
}

TEST(CheckNumbersTest, WhatOnlyTrainingReadsDoesNotKeepAModelFromUse) {
  for (const char* text :
       {"evaluation { every_steps: -1 }", "checkpoint { keep: -1 }", "threads_per_worker: -1",
        "loader { cache_mb: -1 }", "accumulate_steps: 3", "clip_gradient_norm: 0", "weight_average { decay: 1 }",
        "weight_average { decay: -0.1 }", "weight_average { decay: nan }", "weight_average { warmup_steps: -1 }"}) {
    EXPECT_FALSE(CheckNumbers(Parsed(text)).ok()) << text;
    EXPECT_TRUE(CheckNumbersOfUse(Parsed(text)).ok()) << text;
  }
  for (const char* text : {"evaluation { batch_size: 0 }", "loader { threads: 0 }", "memory_limit_mb: -1"}) {
    EXPECT_FALSE(CheckNumbers(Parsed(text)).ok()) << text;
    EXPECT_FALSE(CheckNumbersOfUse(Parsed(text)).ok()) << text;
  }
  EXPECT_TRUE(CheckNumbers(Parsed("")).ok());
}

}  // namespace
}  // namespace trireme

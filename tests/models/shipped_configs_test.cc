// Every config that ships can be read, and its model built.
#include <gtest/gtest.h>

#include <filesystem>

#include "core/api/detector.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"

namespace trireme {
namespace {

TEST(ShippedConfigs, HaveModelsThatCanBeBuilt) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tools/configs")) {
    SCOPED_TRACE(entry.path().string());
    Config config;
    const Status read = ParseTextFile(entry.path().string(), &config);
    ASSERT_TRUE(read.ok()) << read;
    const auto model = CreateComponent<Detector>(config.model(), "model", {});
    EXPECT_TRUE(model.ok()) << model.status();
    ++count;
  }
  EXPECT_GE(count, 10);
}

}  // namespace
}  // namespace trireme

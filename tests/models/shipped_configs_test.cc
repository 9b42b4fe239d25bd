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

// Grey around a smaller image would be another than the letterbox's, and the image be rendered twice.
TEST(ShippedConfigs, ChangeColoursBeforeThereIsGrey) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tools/configs")) {
    Config config;
    ASSERT_TRUE(ParseTextFile(entry.path().string(), &config).ok());
    if (PrintText(config).find("letterbox: true") == std::string::npos) continue;
    ++count;
    bool has_grey = false;
    for (const auto& transform : config.transforms()) {
      const std::string& type = transform.type_url();
      has_grey = has_grey || type.find("ScaleJitter") != std::string::npos;
      EXPECT_FALSE(has_grey && type.find("Photometric") != std::string::npos) << entry.path();
    }
  }
  EXPECT_GE(count, 3);
}

}  // namespace
}  // namespace trireme

#include "core/base/json_text.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

TEST(JsonText, WhatIsNoUtf8IsReplaced) {
  const std::string text = JsonText(nlohmann::ordered_json{{"name", "caf\xE9"}, {"is", "caf\xC3\xA9"}});
  EXPECT_EQ(text, "{\"name\":\"caf\xEF\xBF\xBD\",\"is\":\"caf\xC3\xA9\"}");
  EXPECT_EQ(nlohmann::json::parse(text)["is"], "caf\xC3\xA9");
}

TEST(JsonText, IndentsIfTold) { EXPECT_EQ(JsonText(nlohmann::json{{"a", 1}}, 2), "{\n  \"a\": 1\n}"); }

}  // namespace
}  // namespace trireme

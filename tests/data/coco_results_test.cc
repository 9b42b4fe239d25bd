#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/coco_json/results.h"

namespace trireme {
namespace {

using Json = nlohmann::json;

TEST(CocoResults, IsAListOfWhatCocoReads) {
  CocoResults results;
  results.AddImage(3, "a.jpg", Image(100, 50), {{{10, 20, 30.5f, 40}, 1, 0.875f}, {{-5, -5, 500, 500}, 0, 0.1f}});
  results.AddImage(4, "caf\xE9.jpg", Image(10, 10), {{{1, 2, 3, 4}, 9, 0.5f}});  // a name that is no UTF-8
  const Json json = Json::parse(results.ToJson({"cat", "dog"}, {17, 18}));
  ASSERT_EQ(json.size(), 3u);
  EXPECT_EQ(json[0]["image_id"], 3);
  EXPECT_EQ(json[0]["category_id"], 18);
  EXPECT_EQ(json[0]["category"], "dog");
  EXPECT_EQ(json[0]["bbox"], Json({10.0, 20.0, 20.5, 20.0}));
  EXPECT_EQ(json[0]["score"], 0.875);
  EXPECT_EQ(json[0]["file_name"], "a.jpg");
  EXPECT_EQ(json[1]["bbox"], Json({0.0, 0.0, 100.0, 50.0}));
  EXPECT_EQ(json[1]["category_id"], 17);
  EXPECT_EQ(json[2]["category_id"], 10);
  EXPECT_FALSE(json[2].contains("category"));
}

TEST(CocoResults, NoDetectionsAreAnEmptyList) {
  CocoResults results;
  results.AddImage(1, "a.jpg", Image(4, 4), {});
  EXPECT_EQ(Json::parse(results.ToJson({}, {})), Json::array());
}

}  // namespace
}  // namespace trireme

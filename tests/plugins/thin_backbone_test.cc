// The backbone that docs/adding_a_backbone.md shows: the page has its files as they are, and all detectors train on it.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "tests/models/testing/model_fixture.h"

namespace trireme {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ThinBackbone, IsAsItsPageShowsIt) {
  const std::string page = Read("docs/adding_a_backbone.md");
  for (const std::string file : {"thin_backbone.proto", "thin_backbone.cc", "BUILD"}) {
    const std::string path = "plugins/thin_backbone/" + file;
    const size_t begin = page.find("\n" + path + ":\n\n```");
    ASSERT_NE(begin, std::string::npos) << path;
    const size_t code = page.find('\n', page.find("```", begin)) + 1;
    EXPECT_EQ(page.substr(code, page.find("```", code) - code), Read(path)) << path;
  }
}

class ThinBackboneUnder : public ::testing::TestWithParam<const char*> {};

TEST_P(ThinBackboneUnder, Trains) {
  Config config;
  const Status status =
      ParseText(absl::StrCat("model { [", GetParam(), "] { num_classes: 2 image_size: 96 ",
                             "backbone { [backbone/thin] { channels: 16 norm { mode: GROUP } frozen_stages: 1 } } } }"),
                "test", &config);
  ASSERT_TRUE(status.ok()) << status;
  auto made = CreateComponent<Detector>(config.model(), "model", {});
  ASSERT_TRUE(made.ok()) << made.status();
  TestModel model(*std::move(made), *MakeDevice("cpu", 1));
  const Batch batch = model.MakeBatch({3, 1}, 4, 1);
  float before = 0, after = 0;
  for (const float loss : model.Step(batch, true)) before += loss;
  const std::vector<float> gradient = model.arena().gradients().ToVector<float>();
  for (const Parameter* parameter : model.arena().parameters()) {
    // On the coarsest map there may be no object.
    if (parameter->name.rfind("backbone.", 0) != 0 || parameter->name.rfind("backbone.stage4.", 0) == 0) continue;
    EXPECT_EQ(parameter->options.trainable, parameter->name.rfind("backbone.stage0.", 0) != 0) << parameter->name;
    double sum = 0;
    for (int64_t i = 0; i < parameter->shape.size(); ++i) sum += std::abs(gradient[parameter->offset + i]);
    EXPECT_EQ(sum > 0, parameter->options.trainable) << parameter->name;
  }
  model.Descend(0.001f);
  for (const float loss : model.Step(batch, false)) after += loss;
  EXPECT_LT(after, before);
}

INSTANTIATE_TEST_SUITE_P(Detectors, ThinBackboneUnder,
                         ::testing::Values("model/ssd", "model/retinanet", "model/faster_rcnn"),
                         [](const auto& info) { return std::string(info.param).substr(6); });

}  // namespace
}  // namespace trireme

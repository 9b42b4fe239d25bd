#include "core/api/backbone.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

// Gives one map of two that it speaks of, or what it is told.
class Given : public Backbone {
 public:
  std::vector<FeatureSpec> specs() const override { return {{"fine", 2, 3}, {"coarse", 4, 5}}; }
  std::vector<Var> Forward(Context&, const Var&) override { return maps; }
  std::vector<Var> maps;
};

class BackboneMapsTest : public ::testing::Test {
 protected:
  Var Map(const Shape& shape) { return Var(Tensor::Zeros(*device_, shape)); }

  const std::unique_ptr<Device> device_ = *MakeDevice("cpu", 1);
  Context context_{*device_};
  Given backbone_;
};

using BackboneMapsDeathTest = BackboneMapsTest;

TEST_F(BackboneMapsTest, AreThoseOfForward) {
  backbone_.maps = {Map({2, 4, 4, 3}), Map({2, 2, 2, 5})};
  const std::vector<Var> maps = backbone_.Maps(context_, Map({2, 8, 8, 3}));
  ASSERT_EQ(maps.size(), 2u);
  EXPECT_EQ(maps[0].value().raw(), backbone_.maps[0].value().raw());
  EXPECT_EQ(maps[1].shape(), (Shape{2, 2, 2, 5}));
}

TEST_F(BackboneMapsDeathTest, NameTheMapThatIsNotAsPromised) {
  const Var images = Map({2, 8, 8, 3}), fine = Map({2, 4, 4, 3});
  backbone_.maps = {fine};
  EXPECT_DEATH(backbone_.Maps(context_, images), "other maps than its specs\\(\\) say");
  backbone_.maps = {fine, Var()};
  EXPECT_DEATH(backbone_.Maps(context_, images), "its map coarse undefined");
  backbone_.maps = {fine, Map({2, 2, 2, 6})};
  EXPECT_DEATH(backbone_.Maps(context_, images), "map coarse is .*specs\\(\\) say 5 channels");
  backbone_.maps = {Map({1, 4, 4, 3}), Map({2, 2, 2, 5})};
  EXPECT_DEATH(backbone_.Maps(context_, images), "map fine is .*of 2 images");
  backbone_.maps = {fine, Map({8, 5})};
  EXPECT_DEATH(backbone_.Maps(context_, images), "map coarse is ");
}

}  // namespace
}  // namespace trireme

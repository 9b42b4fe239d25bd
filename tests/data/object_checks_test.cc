#include "data/annotations/object_checks.h"

#include <gtest/gtest.h>

#include <utility>

namespace trireme {
namespace {

Object MakeObject(bool difficult, bool crowd) {
  Object object;
  object.box = {1, 2, 11, 22};
  object.label = 3;
  object.difficult = difficult;
  object.crowd = crowd;
  return object;
}

class AddObjectTest : public ::testing::Test {
 protected:
  // What is kept of the two, given in this order.
  std::vector<Object> Kept(const Object& first, const Object& second) {
    std::vector<Object> objects;
    AddObject(first, {"file:1", "a dog"}, &faults_, &objects);
    AddObject(second, {"file:2", "a dog"}, &faults_, &objects);
    return objects;
  }

  FaultLog faults_;
};

// COCO's width may be anything above 0.
TEST(ClipToImageTest, ABoxThinnerThanAFloatTellsApartHasNoArea) {
  FaultLog faults;
  Box box;
  EXPECT_FALSE(ClipToImage(5, 6, 5 + 1e-12, 20, {40, 30}, 0, {"file:1", "a dog"}, &faults, &box));
  EXPECT_FALSE(ClipToImage(5, 6, 15, 6 + 1e-12, {40, 30}, 0, {"file:2", "a dog"}, &faults, &box));
  EXPECT_EQ(faults.counts()["box without area"], 2);
  EXPECT_TRUE(ClipToImage(5, 6, 5.001, 6.001, {40, 30}, 0, {"file:3", "a dog"}, &faults, &box));
  EXPECT_GT(box.area(), 0);
}

TEST_F(AddObjectTest, KeepsOneOfTwoThatAreEqual) {
  for (const auto& [difficult, crowd] : {std::pair{false, false}, {true, false}, {true, true}}) {
    const std::vector<Object> kept = Kept(MakeObject(difficult, crowd), MakeObject(difficult, crowd));
    ASSERT_EQ(kept.size(), 1u);
    EXPECT_EQ(kept[0].difficult, difficult);
    EXPECT_EQ(kept[0].crowd, crowd);
  }
  EXPECT_EQ(faults_.counts()["object given twice"], 1);
  EXPECT_EQ(faults_.faults()[0].where, "file:2");
}

TEST_F(AddObjectTest, KeepsTheOneThatIsNotDifficultWhicheverComesFirst) {
  for (const bool first : {false, true}) {
    const std::vector<Object> kept = Kept(MakeObject(first, false), MakeObject(!first, false));
    ASSERT_EQ(kept.size(), 1u);
    EXPECT_FALSE(kept[0].difficult);
  }
  EXPECT_EQ(faults_.counts()["object given twice"], 1);
}

TEST_F(AddObjectTest, KeepsAnObjectAndACrowdOnOneBoxWhicheverComesFirst) {
  for (const bool first : {false, true}) {
    const std::vector<Object> kept = Kept(MakeObject(first, first), MakeObject(!first, !first));
    ASSERT_EQ(kept.size(), 2u);
    EXPECT_EQ(kept[0].crowd, first);
    EXPECT_EQ(kept[1].crowd, !first);
  }
  EXPECT_TRUE(faults_.empty()) << faults_.Summary();
}

TEST_F(AddObjectTest, KeepsThoseOfOtherClassesAndBoxes) {
  Object other = MakeObject(false, false), moved = other;
  other.label = 4;
  moved.box.y2 = 23;
  EXPECT_EQ(Kept(MakeObject(false, false), other).size(), 2u);
  EXPECT_EQ(Kept(MakeObject(false, false), moved).size(), 2u);
  EXPECT_TRUE(faults_.empty()) << faults_.Summary();
}

}  // namespace
}  // namespace trireme

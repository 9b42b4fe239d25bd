#include <gtest/gtest.h>

#include <cmath>

#include "models/boxes/box_coder.h"
#include "models/boxes/box_geometry.h"
#include "tests/models/testing/random_boxes.h"

namespace trireme {
namespace {

Box MakeBox(float x1, float y1, float x2, float y2) {
  Box box;
  box.x1 = x1;
  box.y1 = y1;
  box.x2 = x2;
  box.y2 = y2;
  return box;
}

TEST(BoxGeometry, IouOfKnownBoxes) {
  const Box a = MakeBox(0, 0, 10, 10);
  EXPECT_FLOAT_EQ(Iou(a, a), 1);
  EXPECT_FLOAT_EQ(Iou(a, MakeBox(5, 0, 15, 10)), 50.0f / 150.0f);
  EXPECT_FLOAT_EQ(Iou(a, MakeBox(2, 3, 4, 7)), 8.0f / 100.0f);
  EXPECT_EQ(Iou(a, MakeBox(10, 0, 20, 10)), 0) << "boxes that touch";
  EXPECT_EQ(Iou(a, MakeBox(20, 20, 30, 30)), 0);
}

TEST(BoxGeometry, BoxesWithoutAreaOverlapNothing) {
  const Box point = MakeBox(5, 5, 5, 5), line = MakeBox(2, 5, 8, 5);
  EXPECT_FALSE(HasArea(point));
  EXPECT_FALSE(HasArea(line));
  EXPECT_FALSE(HasArea(MakeBox(8, 8, 2, 2)));
  EXPECT_EQ(Iou(point, point), 0);
  EXPECT_EQ(Iou(line, MakeBox(0, 0, 10, 10)), 0);
  EXPECT_EQ(Iou(MakeBox(8, 8, 2, 2), MakeBox(0, 0, 10, 10)), 0) << "corners the wrong way round";
}

// On whole pixels the areas can be counted.
TEST(BoxGeometry, IouEqualsCountedPixels) {
  Random random(1, RandomUse::kSampling);
  for (int trial = 0; trial < 300; ++trial) {
    Box boxes[2];
    for (Box& box : boxes) {
      box.x1 = static_cast<float>(random.Below(20));
      box.y1 = static_cast<float>(random.Below(20));
      box.x2 = box.x1 + 1 + static_cast<float>(random.Below(12));
      box.y2 = box.y1 + 1 + static_cast<float>(random.Below(12));
    }
    int both = 0, either = 0;
    for (int y = 0; y < 40; ++y) {
      for (int x = 0; x < 40; ++x) {
        const auto inside = [&](const Box& box) { return x >= box.x1 && x < box.x2 && y >= box.y1 && y < box.y2; };
        both += inside(boxes[0]) && inside(boxes[1]);
        either += inside(boxes[0]) || inside(boxes[1]);
      }
    }
    EXPECT_FLOAT_EQ(Iou(boxes[0], boxes[1]), static_cast<float>(both) / static_cast<float>(either));
    EXPECT_EQ(Iou(boxes[0], boxes[1]), Iou(boxes[1], boxes[0]));
  }
}

TEST(BoxGeometry, ClipKeepsWhatIsInside) {
  const Box clipped = ClipBox(MakeBox(-5, 3, 50, 400), 40, 30);
  EXPECT_EQ(clipped.x1, 0);
  EXPECT_EQ(clipped.y1, 3);
  EXPECT_EQ(clipped.x2, 40);
  EXPECT_EQ(clipped.y2, 30);
  EXPECT_FALSE(HasArea(ClipBox(MakeBox(50, 0, 60, 10), 40, 30)));
}

TEST(BoxCoder, EncodesByTheFormula) {
  const BoxOffsets offsets = BoxCoder().Encode(MakeBox(12, 20, 32, 30), MakeBox(10, 10, 20, 30));
  EXPECT_FLOAT_EQ(offsets.x, (22.0f - 15.0f) / 10 / 0.1f);
  EXPECT_FLOAT_EQ(offsets.y, (25.0f - 20.0f) / 20 / 0.1f);
  EXPECT_FLOAT_EQ(offsets.width, std::log(2.0f) / 0.2f);
  EXPECT_FLOAT_EQ(offsets.height, std::log(0.5f) / 0.2f);
}

TEST(BoxCoder, DecodeUndoesEncode) {
  Random random(2, RandomUse::kSampling);
  const BoxCoder coder;
  for (int trial = 0; trial < 1000; ++trial) {
    const Box box = RandomBox(&random, 300, 1, 200), anchor = RandomBox(&random, 300, 5, 150);
    const Box decoded = coder.Decode(coder.Encode(box, anchor), anchor);
    EXPECT_NEAR(decoded.x1, box.x1, 2e-3);
    EXPECT_NEAR(decoded.y1, box.y1, 2e-3);
    EXPECT_NEAR(decoded.x2, box.x2, 2e-3);
    EXPECT_NEAR(decoded.y2, box.y2, 2e-3);
  }
}

TEST(BoxCoder, DecodesWildOffsetsToFiniteBoxes) {
  BoxOffsets offsets;
  offsets.width = 1e6f;
  offsets.height = -1e6f;
  const Box box = BoxCoder().Decode(offsets, MakeBox(0, 0, 10, 10));
  EXPECT_NEAR(box.width(), 625, 1e-2);
  EXPECT_EQ(box.height(), 0);
}

}  // namespace
}  // namespace trireme

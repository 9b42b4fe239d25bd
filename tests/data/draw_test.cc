#include "data/image/draw.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace trireme {
namespace {

Colour At(const Image& image, int x, int y) {
  const uint8_t* p = image.pixel(x, y);
  return {p[0], p[1], p[2]};
}

TEST(Draw, BoxIsAnOutlineInsideItsEdges) {
  Image image(20, 20);
  const Colour red = {255, 0, 0}, black = {0, 0, 0};
  DrawBox({4, 5, 14, 16}, red, 2, false, &image);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 20; ++x) {
      const bool outer = x >= 4 && x < 14 && y >= 5 && y < 16, inner = x >= 6 && x < 12 && y >= 7 && y < 14;
      EXPECT_EQ(At(image, x, y), outer && !inner ? red : black) << x << "," << y;
    }
  }
}

// What is seen is a part of what a canvas with room around the image would show.
TEST(Draw, IsClippedToTheImage) {
  constexpr int kMargin = 150;
  Image image(12, 9), canvas(12 + 2 * kMargin, 9 + 2 * kMargin);
  const auto draw = [](const Box& box, int shift, Image* to) {
    const float by = static_cast<float>(shift);
    const Box shifted = {box.x1 + by, box.y1 + by, box.x2 + by, box.y2 + by};
    DrawBox(shifted, {1, 2, 3}, 3, false, to);
    DrawBox(shifted, {4, 5, 6}, 2, true, to);
    DrawText(static_cast<int>(box.x1) + shift, static_cast<int>(box.y1) + shift, "Hg~\xC3", {9, 9, 9}, 2, to);
  };
  for (const Box& box :
       {Box{-5, -5, 30, 30}, {-20, -20, -10, -10}, {-30, 1, 5, 7}, {11, 8, 40, 40}, {3, 3, 3, 3}, {100, 2, 120, 5}}) {
    draw(box, 0, &image);
    draw(box, kMargin, &canvas);
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) {
        ASSERT_EQ(At(image, x, y), At(canvas, x + kMargin, y + kMargin))
            << x << ", " << y << " with the box at " << box.x1 << ", " << box.y1;
      }
    }
  }
  // A label stays within the image's sides.
  DrawDetections({{{-4, -4, 50, 50}, 7, 0.5f}}, {"a"}, &image);
  EXPECT_EQ(At(image, 0, 0), ClassColour(7));
}

TEST(Draw, TextStandsOutFromItsGround) {
  for (const Colour& ground : {Colour{255, 255, 0}, Colour{0, 0, 90}}) {
    Image image(TextWidth("Ag9", 2), TextHeight(2));
    DrawText(0, 0, "Ag9", ground, 2, &image);
    std::set<Colour> colours;
    for (int y = 0; y < image.height; ++y) {
      for (int x = 0; x < image.width; ++x) colours.insert(At(image, x, y));
    }
    EXPECT_EQ(colours.size(), 2u);
    EXPECT_EQ(colours.count(ground), 1u);
    EXPECT_EQ(colours.count(ground[0] == 255 ? Colour{0, 0, 0} : Colour{255, 255, 255}), 1u);
  }
}

TEST(Draw, CharactersDiffer) {
  std::set<std::vector<uint8_t>> seen;
  for (char c = 33; c < 127; ++c) {
    Image image(TextWidth("x", 1), TextHeight(1));
    DrawText(0, 0, std::string(1, c), {0, 0, 0}, 1, &image);
    EXPECT_TRUE(seen.insert(image.data).second) << c;
  }
}

TEST(Draw, ClassColoursAreApart) {
  for (int a = 0; a < 20; ++a) {
    for (int b = a + 1; b < std::min(a + 6, 20); ++b) {
      const Colour first = ClassColour(a), second = ClassColour(b);
      int distance = 0;
      for (int c = 0; c < 3; ++c) distance += std::abs(first[c] - second[c]);
      EXPECT_GT(distance, 60) << a << " and " << b;
    }
  }
}

TEST(Draw, BetterDetectionsLieOnTop) {
  Image image(60, 60);
  DrawDetections({{{10, 30, 40, 50}, 0, 0.9f}, {{10, 30, 40, 50}, 1, 0.2f}}, {"a", "b"}, &image);
  EXPECT_EQ(At(image, 10, 45), ClassColour(0));
}

TEST(Draw, SideBySide) {
  const Image both = SideBySide(Image(5, 4), Image(3, 7));
  EXPECT_EQ(both.width, 5 + 4 + 3);
  EXPECT_EQ(both.height, 7);
  EXPECT_EQ(At(both, 0, 6), (Colour{255, 255, 255}));
  EXPECT_EQ(At(both, 10, 6), (Colour{0, 0, 0}));
}

}  // namespace
}  // namespace trireme

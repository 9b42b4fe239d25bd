#include "data/image/draw.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "data/image/font.h"

namespace trireme {
namespace {

void FillRectangle(int x1, int y1, int x2, int y2, const Colour& colour, Image* image) {
  x1 = std::max(x1, 0);
  y1 = std::max(y1, 0);
  x2 = std::min(x2, image->width);
  y2 = std::min(y2, image->height);
  for (int y = y1; y < y2; ++y) {
    for (int x = x1; x < x2; ++x) std::memcpy(image->pixel(x, y), colour.data(), 3);
  }
}

// Text and lines grow with the picture, so that they read alike when it is shown scaled to a page.
int ScaleFor(const Image& image) { return std::max(1, std::min(image.width, image.height) / 400); }
int ThicknessFor(const Image& image) { return std::max(1, std::min(image.width, image.height) / 200); }

std::string NameOf(int label, const std::vector<std::string>& class_names) {
  if (label >= 0 && label < static_cast<int>(class_names.size())) return class_names[label];
  return absl::StrCat("class ", label);
}

void DrawLabelled(const Box& box, int label, const std::string& text, bool dashed, Image* image) {
  const Colour colour = ClassColour(label);
  const int scale = ScaleFor(*image);
  DrawBox(box, colour, ThicknessFor(*image), dashed, image);
  // Above the box where there is room, else inside of it; never off the picture's sides.
  int y = static_cast<int>(std::floor(box.y1)) - TextHeight(scale);
  if (y < 0) y = std::max(0, static_cast<int>(std::floor(box.y1)));
  const int x = std::max(0, std::min(static_cast<int>(std::floor(box.x1)), image->width - TextWidth(text, scale)));
  DrawText(x, y, text, colour, scale, image);
}

}  // namespace

Colour ClassColour(int label) {
  // Hues at steps of the golden ratio never come close to one another soon; three brightnesses part those that do.
  const float hue = static_cast<float>(std::fmod(0.61803398875 * (label < 0 ? -label : label) + 0.02, 1.0)) * 6;
  const float value = std::array<float, 3>{1.0f, 0.8f, 0.9f}[(label < 0 ? -label : label) % 3];
  Colour colour;
  for (int c = 0; c < 3; ++c) {
    const float distance = std::fabs(std::fmod(hue + 6 - 2 * static_cast<float>(c), 6.0f) - 3);  // 3 at the primary
    const float level = 1 - std::min(std::max(2 - distance, 0.0f), 1.0f) * 0.85f;
    colour[c] = static_cast<uint8_t>(std::lround(255 * value * level));
  }
  return colour;
}

void DrawBox(const Box& box, const Colour& colour, int thickness, bool dashed, Image* image) {
  const int x1 = static_cast<int>(std::floor(box.x1)), y1 = static_cast<int>(std::floor(box.y1));
  const int x2 = std::max(x1 + 1, static_cast<int>(std::ceil(box.x2)));
  const int y2 = std::max(y1 + 1, static_cast<int>(std::ceil(box.y2)));
  const int dash = dashed ? 4 * thickness : std::max(x2 - x1, y2 - y1);
  for (int x = x1; x < x2; x += dashed ? 2 * dash : dash) {
    FillRectangle(x, y1, std::min(x + dash, x2), std::min(y1 + thickness, y2), colour, image);
    FillRectangle(x, std::max(y2 - thickness, y1), std::min(x + dash, x2), y2, colour, image);
  }
  for (int y = y1; y < y2; y += dashed ? 2 * dash : dash) {
    FillRectangle(x1, y, std::min(x1 + thickness, x2), std::min(y + dash, y2), colour, image);
    FillRectangle(std::max(x2 - thickness, x1), y, x2, std::min(y + dash, y2), colour, image);
  }
}

int TextWidth(const std::string& text, int scale) {
  return scale * (static_cast<int>(text.size()) * (kGlyphWidth + 1) + 1);
}

int TextHeight(int scale) { return scale * (kGlyphHeight + 2); }

void DrawText(int x, int y, const std::string& text, const Colour& colour, int scale, Image* image) {
  FillRectangle(x, y, x + TextWidth(text, scale), y + TextHeight(scale), colour, image);
  const bool bright = 299 * colour[0] + 587 * colour[1] + 114 * colour[2] > 128 * 1000;  // ITU-R BT.601 luma
  const Colour ink = bright ? Colour{0, 0, 0} : Colour{255, 255, 255};
  for (size_t i = 0; i < text.size(); ++i) {
    const Glyph& glyph = FindGlyph(text[i]);
    for (int row = 0; row < kGlyphHeight; ++row) {
      for (int column = 0; column < kGlyphWidth; ++column) {
        if ((glyph[row] >> (kGlyphWidth - 1 - column) & 1) == 0) continue;
        const int left = x + scale * (1 + static_cast<int>(i) * (kGlyphWidth + 1) + column);
        const int top = y + scale * (1 + row);
        FillRectangle(left, top, left + scale, top + scale, ink, image);
      }
    }
  }
}

void DrawDetections(const Detections& detections, const std::vector<std::string>& class_names, Image* image) {
  std::vector<const Detection*> order;
  for (const Detection& detection : detections) order.push_back(&detection);
  std::stable_sort(order.begin(), order.end(),
                   [](const Detection* a, const Detection* b) { return a->score < b->score; });
  for (const Detection* detection : order) {
    char score[16];
    std::snprintf(score, sizeof(score), " %.2f", static_cast<double>(detection->score));
    DrawLabelled(detection->box, detection->label, NameOf(detection->label, class_names) + score, false, image);
  }
}

void DrawObjects(const std::vector<Object>& objects, const std::vector<std::string>& class_names, Image* image) {
  for (const Object& object : objects) {
    DrawLabelled(object.box, object.label, NameOf(object.label, class_names), object.difficult, image);
  }
}

Image SideBySide(const Image& left, const Image& right) {
  constexpr int kGap = 4;
  Image both(left.width + kGap + right.width, std::max(left.height, right.height));
  std::fill(both.data.begin(), both.data.end(), uint8_t{255});
  for (int y = 0; y < left.height; ++y) std::memcpy(both.pixel(0, y), left.pixel(0, y), 3 * left.width);
  for (int y = 0; y < right.height; ++y) {
    std::memcpy(both.pixel(left.width + kGap, y), right.pixel(0, y), 3 * right.width);
  }
  return both;
}

}  // namespace trireme

// A small fixed-width bitmap font for labels in pictures: printable ASCII, 5 pixels wide, 7 above the baseline
// and 2 below. Drawn for this project. Pure data; thread-safe.
#ifndef TRIREME_DATA_IMAGE_FONT_H_
#define TRIREME_DATA_IMAGE_FONT_H_

#include <array>
#include <cstdint>

namespace trireme {

inline constexpr int kGlyphWidth = 5;
inline constexpr int kGlyphHeight = 9;

// Rows from the top; bit 4 is the leftmost pixel. Characters that the font lacks are a frame.
using Glyph = std::array<uint8_t, kGlyphHeight>;
const Glyph& FindGlyph(char character);

}  // namespace trireme

#endif  // TRIREME_DATA_IMAGE_FONT_H_

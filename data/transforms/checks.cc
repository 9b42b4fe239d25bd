#include "data/transforms/checks.h"

#include <algorithm>

namespace trireme {

Status CheckRange(const char* field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; it lies in ", low, "..", high));
}

Status CheckRangeOf(const char* least_field, double least, const char* most_field, double most, double low,
                    double high) {
  TRIREME_RETURN_IF_ERROR(CheckRange(least_field, least, low, high));
  TRIREME_RETURN_IF_ERROR(CheckRange(most_field, most, low, high));
  if (least <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(least_field, " is ", least, " and ", most_field, " ", most, "; they are no range"));
}

StatusOr<Colour> FillColour(const google::protobuf::RepeatedField<int32_t>& fill) {
  if (fill.empty()) return Colour{124, 116, 104};
  if (fill.size() != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("fill has ", fill.size(), " values; it takes three: red, green, blue"));
  }
  Colour colour;
  for (int c = 0; c < 3; ++c) {
    TRIREME_RETURN_IF_ERROR(CheckRange("fill", fill[c], 0, 255));
    colour[c] = static_cast<uint8_t>(fill[c]);
  }
  return colour;
}

Box ClipBox(const Box& box, int width, int height) {
  const float right = static_cast<float>(width), bottom = static_cast<float>(height);
  return {std::min(std::max(box.x1, 0.0f), right), std::min(std::max(box.y1, 0.0f), bottom),
          std::min(std::max(box.x2, 0.0f), right), std::min(std::max(box.y2, 0.0f), bottom)};
}

}  // namespace trireme

#include "data/transforms/checks.h"

#include <algorithm>
#include <cstring>

namespace trireme {

Status CheckRange(const char* field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, "; it lies in ", low, "..", high));
}

StatusOr<std::array<uint8_t, 3>> FillColour(const google::protobuf::RepeatedField<int32_t>& fill) {
  if (fill.empty()) return std::array<uint8_t, 3>{124, 116, 104};
  if (fill.size() != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("fill has ", fill.size(), " values; it takes three: red, green, blue"));
  }
  std::array<uint8_t, 3> colour;
  for (int c = 0; c < 3; ++c) {
    TRIREME_RETURN_IF_ERROR(CheckRange("fill", fill[c], 0, 255));
    colour[c] = static_cast<uint8_t>(fill[c]);
  }
  return colour;
}

void FillImage(const std::array<uint8_t, 3>& colour, Image* image) {
  if (image->empty()) return;
  std::memcpy(image->data.data(), colour.data(), 3);
  // Doubling copies run at the speed of memory; a loop over pixels of three bytes does not.
  for (size_t done = 3; done < image->data.size(); done *= 2) {
    std::memcpy(image->data.data() + done, image->data.data(), std::min(done, image->data.size() - done));
  }
}

Box ClipBox(const Box& box, int width, int height) {
  const float right = static_cast<float>(width), bottom = static_cast<float>(height);
  return {std::min(std::max(box.x1, 0.0f), right), std::min(std::max(box.y1, 0.0f), bottom),
          std::min(std::max(box.x2, 0.0f), right), std::min(std::max(box.y2, 0.0f), bottom)};
}

}  // namespace trireme

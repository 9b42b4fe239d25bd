#include "models/anchors/grid_anchors.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace trireme {
namespace {

std::string Describe(const std::vector<FeatureSpec>& maps) {
  return absl::StrJoin(maps, ", ", [](std::string* out, const FeatureSpec& map) {
    absl::StrAppend(out, map.name, " (stride ", map.stride, ")");
  });
}

std::vector<float> SizesOfStride(const GridAnchorConfig& config, const GridAnchors::Defaults& defaults, int stride) {
  const double least = stride * (config.has_size_in_strides() ? config.size_in_strides() : defaults.size_in_strides);
  const int count = config.has_sizes_per_octave() ? config.sizes_per_octave() : defaults.sizes_per_octave;
  std::vector<float> sizes;
  for (int k = 0; k < count; ++k) {
    sizes.push_back(static_cast<float>(std::floor(least * std::pow(2.0, static_cast<double>(k) / count))));
  }
  return sizes;
}

Box BaseAnchor(float size, float ratio) {
  const float height_factor = std::sqrt(ratio);
  const float half_width = 1 / height_factor * size / 2, half_height = height_factor * size / 2;
  Box box;
  box.x1 = std::nearbyint(-half_width);
  box.y1 = std::nearbyint(-half_height);
  box.x2 = std::nearbyint(half_width);
  box.y2 = std::nearbyint(half_height);
  return box;
}

}  // namespace

StatusOr<GridAnchors> GridAnchors::Make(const GridAnchorConfig& config, const Defaults& defaults,
                                        const std::vector<FeatureSpec>& maps) {
  if (config.map_size() != 0 && config.map_size() != static_cast<int>(maps.size())) {
    return absl::InvalidArgumentError(absl::StrCat("anchors has ", config.map_size(), " `map`, but the backbone gives ",
                                                   maps.size(), ": ", Describe(maps), "; write one for each, or none"));
  }
  constexpr int kMostSizes = 100;
  if (config.has_sizes_per_octave() && (config.sizes_per_octave() < 1 || config.sizes_per_octave() > kMostSizes)) {
    return absl::InvalidArgumentError(absl::StrCat("anchors.sizes_per_octave is ", config.sizes_per_octave(),
                                                   "; it has to be positive, and at most ", kMostSizes));
  }
  if (config.has_size_in_strides() && !(config.size_in_strides() > 0 && std::isfinite(config.size_in_strides()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("anchors.size_in_strides is ", config.size_in_strides(), "; it has to be positive and finite"));
  }
  GridAnchors anchors;
  for (size_t k = 0; k < maps.size(); ++k) {
    std::vector<float> sizes, ratios(config.aspect_ratios().begin(), config.aspect_ratios().end());
    if (config.map_size() > 0) {
      const GridAnchorConfig::Map& map = config.map(static_cast<int>(k));
      sizes.assign(map.sizes().begin(), map.sizes().end());
      if (map.aspect_ratios_size() > 0) ratios.assign(map.aspect_ratios().begin(), map.aspect_ratios().end());
    } else {
      sizes = SizesOfStride(config, defaults, maps[k].stride);
    }
    if (ratios.empty()) ratios = {0.5f, 1, 2};
    if (sizes.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("anchors: map ", k, " (", maps[k].name, ") has no sizes"));
    }
    std::vector<Box> boxes;
    for (const float ratio : ratios) {
      for (const float size : sizes) {
        const bool is_positive = ratio > 0 && size > 0;
        if (is_positive) boxes.push_back(BaseAnchor(size, ratio));
        if (!is_positive || !(boxes.back().area() > 0 && std::isfinite(boxes.back().area()))) {
          return absl::InvalidArgumentError(absl::StrCat(
              "anchors: map ", k, " (", maps[k].name, ") has an anchor of size ", size,
              config.map_size() > 0 ? ", by its sizes," : ", by its stride and size_in_strides,", " and aspect ratio ",
              ratio, ", by aspect_ratios; in whole pixels it has to have an area, and a finite one"));
        }
      }
    }
    anchors.maps_.push_back(std::move(boxes));
  }
  return anchors;
}

std::vector<int> GridAnchors::BoxesPerPlace() const {
  std::vector<int> counts;
  for (const std::vector<Box>& map : maps_) counts.push_back(static_cast<int>(map.size()));
  return counts;
}

std::vector<Box> GridAnchors::Generate(int image_height, int image_width,
                                       const std::vector<std::pair<int64_t, int64_t>>& map_sizes) const {
  CHECK_EQ(map_sizes.size(), maps_.size());
  std::vector<Box> boxes;
  for (size_t k = 0; k < maps_.size(); ++k) {
    const auto [rows, columns] = map_sizes[k];
    const int64_t row_step = image_height / rows, column_step = image_width / columns;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        const float x = static_cast<float>(column * column_step), y = static_cast<float>(row * row_step);
        for (Box box : maps_[k]) {
          box.x1 += x;
          box.y1 += y;
          box.x2 += x;
          box.y2 += y;
          boxes.push_back(box);
        }
      }
    }
  }
  return boxes;
}

}  // namespace trireme

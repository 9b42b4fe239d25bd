#include "models/anchors/default_boxes.h"

#include <algorithm>
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

constexpr int kPublishedMaps = 6;

std::vector<double> UsualScales(double min_ratio, double max_ratio, int maps) {
  std::vector<double> scales;
  if (maps == kPublishedMaps) {
    // Counted in whole percent, as the published models do.
    const int least = static_cast<int>(std::lround(100 * min_ratio));
    const int most = static_cast<int>(std::lround(100 * max_ratio));
    const int step = (most - least) / (maps - 2);
    scales.push_back((least / 2) / 100.0);
    for (int k = 0; k < maps; ++k) scales.push_back((least + k * step) / 100.0);
    return scales;
  }
  const double least = min_ratio / 2, growth = std::pow(max_ratio / least, 1.0 / std::max(1, maps - 1));
  for (int k = 0; k <= maps; ++k) scales.push_back(least * std::pow(growth, k));
  return scales;
}

std::vector<float> UsualAspectRatios(int map, int maps) {
  return map >= 1 && map < maps - 2 ? std::vector<float>{2, 3} : std::vector<float>{2};
}

}  // namespace

StatusOr<DefaultBoxes> DefaultBoxes::Make(const DefaultBoxConfig& config, const std::vector<FeatureSpec>& maps) {
  const int count = static_cast<int>(maps.size());
  if (count == 0) return absl::InvalidArgumentError("the backbone gives no feature maps");
  if (config.map_size() != 0 && config.map_size() != count) {
    return absl::InvalidArgumentError(absl::StrCat("anchors has ", config.map_size(), " `map`, but the backbone gives ",
                                                   count, ": ", Describe(maps), "; write one for each, or none"));
  }
  if (config.scales_size() != 0 && config.scales_size() != count + 1) {
    return absl::InvalidArgumentError(absl::StrCat("anchors.scales has ", config.scales_size(), " values; for the ",
                                                   count, " maps ", Describe(maps), " it takes ", count + 1));
  }
  constexpr float kMostRatio = 100;
  if (!(config.min_ratio() > 0 && config.max_ratio() >= config.min_ratio() && config.max_ratio() <= kMostRatio)) {
    return absl::InvalidArgumentError(absl::StrCat("anchors.min_ratio ", config.min_ratio(), " and max_ratio ",
                                                   config.max_ratio(),
                                                   " have to be positive, in this order, and at "
                                                   "most ",
                                                   kMostRatio));
  }
  const std::vector<double> scales = config.scales_size() > 0
                                         ? std::vector<double>(config.scales().begin(), config.scales().end())
                                         : UsualScales(config.min_ratio(), config.max_ratio(), count);

  DefaultBoxes boxes;
  boxes.clip_ = config.clip();
  boxes.even_centres_ = config.even_centres();
  for (int k = 0; k < count; ++k) {
    const DefaultBoxConfig::Map* map_config = config.map_size() > 0 ? &config.map(k) : nullptr;
    std::vector<double> squares = {scales[k], std::sqrt(scales[k] * scales[k + 1])};
    std::vector<float> ratios = UsualAspectRatios(k, count);
    if (map_config != nullptr) {
      ratios.assign(map_config->aspect_ratios().begin(), map_config->aspect_ratios().end());
      if (map_config->scales_size() > 0) squares.assign(map_config->scales().begin(), map_config->scales().end());
    }
    Map map;
    map.name = maps[k].name;
    map.step = map_config != nullptr && map_config->has_step() ? map_config->step() : maps[k].stride;
    for (double square : squares) {
      if (!(square > 0 && std::isfinite(square))) {
        return absl::InvalidArgumentError(absl::StrCat("anchors: map ", k, " (", maps[k].name, ") has the scale ",
                                                       square, "; it has to be positive and finite"));
      }
      map.extents.push_back({square, square});
    }
    for (double ratio : ratios) {
      if (!(ratio > 0 && std::isfinite(ratio))) {
        return absl::InvalidArgumentError(absl::StrCat("anchors: map ", k, " (", maps[k].name,
                                                       ") has the aspect ratio ", ratio,
                                                       "; it has to be positive and finite"));
      }
      const double wide = squares[0] * std::sqrt(ratio), narrow = squares[0] / std::sqrt(ratio);
      map.extents.push_back({wide, narrow});
      map.extents.push_back({narrow, wide});
    }
    if (!(map.step > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("anchors: map ", k, " (", maps[k].name, ") has the step ", map.step, "; it has to be positive"));
    }
    boxes.maps_.push_back(std::move(map));
  }
  return boxes;
}

std::vector<int> DefaultBoxes::BoxesPerPlace() const {
  std::vector<int> counts;
  for (const Map& map : maps_) counts.push_back(static_cast<int>(map.extents.size()));
  return counts;
}

StatusOr<std::vector<Box>> DefaultBoxes::Generate(int image_height, int image_width,
                                                  const std::vector<std::pair<int64_t, int64_t>>& map_sizes) const {
  const double side = std::sqrt(static_cast<double>(image_height) * image_width);
  std::vector<Box> boxes;
  for (size_t k = 0; k < maps_.size(); ++k) {
    const auto [rows, columns] = map_sizes[k];
    double step_y = maps_[k].step, step_x = maps_[k].step;
    if (even_centres_) {
      step_y = static_cast<double>(image_height) / static_cast<double>(rows);
      step_x = static_cast<double>(image_width) / static_cast<double>(columns);
    }
    // The last centre may lie outside by half a step, as on maps whose size was rounded up.
    if ((rows - 1) * step_y > image_height || (columns - 1) * step_x > image_width) {
      return absl::InvalidArgumentError(
          absl::StrCat("anchors: map ", k, " (", maps_[k].name, ") has ", rows, " x ", columns, " places; a step of ",
                       maps_[k].step, " takes them outside the image of ", image_height, " x ", image_width,
                       "; set anchors.map.step, for example to ", image_width / static_cast<double>(columns)));
    }
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        const double x = (column + 0.5) * step_x, y = (row + 0.5) * step_y;
        for (const Extent& extent : maps_[k].extents) {
          double width = extent.width * side, height = extent.height * side;
          if (clip_) {
            width = std::min<double>(width, image_width);
            height = std::min<double>(height, image_height);
          }
          Box box;
          box.x1 = static_cast<float>(x - 0.5 * width);
          box.y1 = static_cast<float>(y - 0.5 * height);
          box.x2 = static_cast<float>(x + 0.5 * width);
          box.y2 = static_cast<float>(y + 0.5 * height);
          boxes.push_back(box);
        }
      }
    }
  }
  return boxes;
}

}  // namespace trireme

#include "models/backbones/map_order.h"

#include "absl/strings/str_cat.h"

namespace trireme {

Status CheckFinestFirst(const char* what, const std::vector<FeatureSpec>& maps) {
  if (maps.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the backbone gives no maps, of which ", what, " could be made"));
  }
  for (size_t k = 1; k < maps.size(); ++k) {
    if (maps[k].stride >= maps[k - 1].stride) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        what, " takes maps from the finest to the coarsest, but the backbone's ", maps[k].name, " of stride ",
        maps[k].stride, " comes behind ", maps[k - 1].name, " of stride ", maps[k - 1].stride));
  }
  return absl::OkStatus();
}

Status CheckSidesFall(const char* what, const Backbone& backbone, int height, int width) {
  const std::vector<FeatureSpec> maps = backbone.specs();
  const std::vector<int64_t> rows = backbone.MapSides(height), columns = backbone.MapSides(width);
  for (size_t k = 1; k < maps.size(); ++k) {
    if (rows[k] <= rows[k - 1] && columns[k] <= columns[k - 1]) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(what, " takes maps from the finest to the coarsest, but of images of ", width, " x ", height,
                     " the backbone's ", maps[k].name, " has ", columns[k], " x ", rows[k], " places, more than ",
                     maps[k - 1].name, " before it, which has ", columns[k - 1], " x ", rows[k - 1]));
  }
  return absl::OkStatus();
}

}  // namespace trireme

#include "models/backbones/least_image.h"

#include "absl/strings/str_cat.h"

namespace trireme {

Status CheckLastMapHasPlaces(const Backbone& backbone, absl::string_view what, absl::string_view advice, int height,
                             int width) {
  const auto is_enough = [&backbone](int side) { return backbone.MapSides(side).back() >= 1; };
  if (is_enough(height) && is_enough(width)) return absl::OkStatus();
  int least = 1;
  while (!is_enough(least)) ++least;
  return absl::InvalidArgumentError(absl::StrCat(what, " needs images of at least ", least, " x ", least,
                                                 " for its last map, ", backbone.specs().back().name, ", not ", height,
                                                 " x ", width, "; ", advice));
}

}  // namespace trireme

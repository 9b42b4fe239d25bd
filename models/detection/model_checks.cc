#include "models/detection/model_checks.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/registry.h"

namespace trireme {
namespace {

// Whole numbers with all their digits.
std::string Digits(double value) {
  constexpr double kExact = int64_t{1} << 53;
  const bool is_whole = std::abs(value) < kExact && value == std::floor(value);
  return is_whole ? absl::StrCat(static_cast<int64_t>(value)) : absl::StrCat(value);
}

}  // namespace

StatusOr<int> ResolveNumClasses(std::optional<int> configured, const std::vector<std::string>& names) {
  const int named = static_cast<int>(names.size());
  if (!configured.has_value()) {
    if (named > 0) return named;
    return absl::InvalidArgumentError("num_classes is not set, and the data names no classes");
  }
  if (*configured < 1) {
    return absl::InvalidArgumentError(absl::StrCat("num_classes is ", *configured, "; it has to be positive"));
  }
  if (named > 0 && named != *configured) {
    return absl::InvalidArgumentError(absl::StrCat("num_classes is ", *configured, ", but the data names ", named,
                                                   " classes: ", absl::StrJoin(names, ", "), "; set num_classes to ",
                                                   named, " (the background is not counted)"));
  }
  return *configured;
}

Status CheckFieldRange(const char* field, double value, double least, double most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", Digits(value), "; it has to be from ", Digits(least), " to ", Digits(most)));
}

Status CheckLossWeight(const char* field, double value) {
  if (value >= 0 && value <= std::numeric_limits<float>::max()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; it has to be at least 0, which leaves that loss out, and finite"));
}

StatusOr<std::unique_ptr<Backbone>> MakeBackbone(const google::protobuf::Any& config, const ImageSpec& spec) {
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> backbone, CreateComponent<Backbone>(config, "backbone", {}));
  TRIREME_RETURN_IF_ERROR(backbone->CheckImageSize(spec.height, spec.width));
  return backbone;
}

Status CheckSharedHead(const char* model, const std::vector<FeatureSpec>& maps) {
  if (maps.empty()) return absl::InvalidArgumentError("the backbone gives no feature maps");
  for (const FeatureSpec& map : maps) {
    if (map.channels == maps[0].channels) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(model, " has one head for all maps, but the backbone's have different channels: ",
                     absl::StrJoin(maps, ", ",
                                   [](std::string* out, const FeatureSpec& spec) {
                                     absl::StrAppend(out, spec.name, " (", spec.channels, ")");
                                   }),
                     "; put a [backbone/fpn] around it"));
  }
  return absl::OkStatus();
}

StatusOr<int> SharedBoxesPerPlace(const char* model, const std::vector<int>& boxes_per_place) {
  for (const int count : boxes_per_place) {
    if (count == boxes_per_place[0]) continue;
    return absl::InvalidArgumentError(absl::StrCat(model, " has one head for all maps, but anchors gives their places ",
                                                   absl::StrJoin(boxes_per_place, ", "),
                                                   " boxes; give each map as many"));
  }
  return boxes_per_place[0];
}

Status ResolveKeepAspect(const KeepAspectConfig& config, ImageSpec* spec) {
  constexpr double kMost = 1 << 20;
  spec->shorter_sides.assign(config.min_size().begin(), config.min_size().end());
  if (spec->shorter_sides.empty()) spec->shorter_sides = {800};
  spec->longer_side = config.max_size();
  TRIREME_RETURN_IF_ERROR(CheckFieldRange("keep_aspect.max_size", config.max_size(), 1, kMost));
  for (const int side : spec->shorter_sides) {
    TRIREME_RETURN_IF_ERROR(Annotate(CheckFieldRange("keep_aspect.min_size", side, 1, config.max_size()),
                                     "keep_aspect.max_size bounds keep_aspect.min_size"));
  }
  return absl::OkStatus();
}

Status CheckImages(const char* model, const ImageSpec& spec, const Tensor& images, const Tensor& image_sizes) {
  if (image_sizes.defined() && image_sizes.shape() != Shape{images.dim(0), 2}) {
    return absl::InvalidArgumentError(
        absl::StrCat(model, " takes image sizes [", images.dim(0), ", 2], not ", image_sizes.shape().ToString()));
  }
  const Shape& shape = images.shape();
  if (shape.rank() == 4 && shape[1] == spec.height && shape[2] == spec.width && shape[3] == 3 &&
      images.type() == DataType::kUint8) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(model, " takes images uint8 [N, ", spec.height, ", ", spec.width,
                                                 ", 3], not ", DataTypeName(images.type()), " ", shape.ToString()));
}

}  // namespace trireme

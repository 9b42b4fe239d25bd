#include "tools/conversion/pixel_scale.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/config/config_file.h"

namespace trireme {
namespace {

// torchvision's deviations are 0.229, 0.224 and 0.225 of 255.
constexpr float kImageNetDeviation = 57.6f;

// What the file was trained with; 0 if it does not tell.
float DeviationOf(const SafetensorsContent& classifier) {
  for (const NamedArray& array : classifier.arrays) {
    if (!absl::StartsWith(array.name, "classifier.")) continue;
    const bool are_numbers =
        std::all_of(array.values.begin(), array.values.end(), [](float value) { return std::isfinite(value); });
    return are_numbers ? kImageNetDeviation : 1;
  }
  return 0;
}

}  // namespace

std::string PixelScaleWarning(const SafetensorsContent& classifier, const Config& config) {
  const float wanted = DeviationOf(classifier);
  std::map<std::string, std::string> fields;
  std::string backbone;
  for (const auto& [path, value] : ListFields(config)) {
    fields[path] = value;
    if (absl::EndsWith(value, "backbone/vgg16")) backbone = path;
  }
  if (wanted == 0 || backbone.empty()) return "";
  const std::string field = backbone + ".pixel_deviation";
  float deviation = 1;  // where the config leaves it out
  const auto found = fields.find(field);
  if (found != fields.end() && !absl::SimpleAtof(found->second, &deviation)) return "";
  if (deviation > wanted / 2 && deviation < wanted * 2) return "";
  const bool has_norms = std::any_of(classifier.arrays.begin(), classifier.arrays.end(), [](const NamedArray& array) {
    return absl::EndsWith(array.name, ".running_mean");
  });
  if (has_norms) {
    return absl::StrCat(
        "warning: torchvision's vgg16_bn was trained on pixels divided by a deviation of about 58; the ",
        "model divides by ", deviation, ": --set ", field, "=", wanted, " here and in training");
  }
  const bool is_v1 = wanted > 1;
  return absl::StrCat("warning: the file is torchvision's VGG16_Weights.",
                      is_v1 ? "IMAGENET1K_V1 (DEFAULT)" : "IMAGENET1K_FEATURES", ", trained on pixels less their mean",
                      is_v1 ? " and divided by a deviation of about 58" : ", not divided", "; the model divides by ",
                      deviation, ": take VGG16_Weights.", is_v1 ? "IMAGENET1K_FEATURES" : "IMAGENET1K_V1",
                      " instead, or --set ", field, "=", wanted, " here and in training");
}

}  // namespace trireme

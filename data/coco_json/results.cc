#include "data/coco_json/results.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"

namespace trireme {
namespace {

// Digits enough for a pixel's hundredth and a score's millionth; a float's own would look like 12.300000190734863.
double Pixels(float value) { return std::round(static_cast<double>(value) * 100) / 100; }
double Score(float value) { return std::round(static_cast<double>(value) * 1e6) / 1e6; }

}  // namespace

void CocoResults::AddImage(int64_t image_id, const std::string& file_name, const Image& image,
                           const Detections& detections) {
  const auto clip = [](float value, int extent) { return std::min(std::max(value, 0.0f), static_cast<float>(extent)); };
  for (Detection detection : detections) {
    Box& box = detection.box;
    box = {clip(box.x1, image.width), clip(box.y1, image.height), clip(box.x2, image.width),
           clip(box.y2, image.height)};
    entries_.push_back({image_id, file_name, detection});
  }
}

void CocoResults::AddImage(int64_t image_id, const Detections& detections) {
  for (const Detection& detection : detections) entries_.push_back({image_id, "", detection});
}

std::string CocoResults::ToJson(const std::vector<std::string>& class_names,
                                const std::vector<int64_t>& category_ids) const {
  std::string text = "[";
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const Box& box = entry.detection.box;
    const int64_t label = entry.detection.label;
    nlohmann::ordered_json json = {
        {"image_id", entry.image_id},
        {"category_id", label < static_cast<int64_t>(category_ids.size()) ? category_ids[label] : label + 1},
        {"bbox", {Pixels(box.x1), Pixels(box.y1), Pixels(box.width()), Pixels(box.height())}},
        {"score", Score(entry.detection.score)},
    };
    if (!entry.file_name.empty()) json["file_name"] = entry.file_name;
    if (label < static_cast<int64_t>(class_names.size())) json["category"] = class_names[label];
    text += (i == 0 ? "\n  " : ",\n  ") + JsonText(json);
  }
  return text + "\n]\n";
}

}  // namespace trireme

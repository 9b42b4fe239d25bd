#include "core/train/checkpoint_info.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/json_text.h"

namespace trireme {
namespace {

// Where class names are no UTF-8, which JSON has to be: their bytes as hexadecimal digits.
constexpr char kNameBytes[] = "class_name_bytes";

bool AreUtf8(const std::vector<std::string>& names) {
  return nlohmann::json::parse(JsonText(nlohmann::json(names))) == nlohmann::json(names);
}

// What ToJson has made of names that are no UTF-8.
Status ReadNameBytes(const nlohmann::json& json, std::vector<std::string>* names) {
  if (!json.is_array() || json.size() != names->size())
    return absl::DataLossError("the bytes of its names are damaged");
  for (size_t i = 0; i < names->size(); ++i) {
    const std::string hex = json[i].is_string() ? json[i].get<std::string>() : "";
    (*names)[i] = absl::HexStringToBytes(hex);
    if (hex.empty() || absl::BytesToHexString((*names)[i]) != hex) {
      return absl::DataLossError("the bytes of its names are damaged");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string ToJson(const CheckpointInfo& info) {
  nlohmann::ordered_json json = {{"step", info.step},
                                 {"seed", info.seed},
                                 {"world_size", info.world_size},
                                 {"global_batch_size", info.global_batch_size},
                                 {"class_names", info.class_names},
                                 {"category_ids", info.category_ids},
                                 {"averaged", info.averaged}};
  // A run that goes on compares them with those of its data.
  if (!AreUtf8(info.class_names)) {
    for (const std::string& name : info.class_names) json[kNameBytes].push_back(absl::BytesToHexString(name));
  }
  return JsonText(json, 2) + "\n";
}

StatusOr<CheckpointInfo> ParseCheckpointInfo(const std::string& text, const std::string& path) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto has_number = [&](const char* key) { return json.contains(key) && json[key].is_number_integer(); };
  if (!json.is_object() || !has_number("step") || !has_number("seed") || !has_number("world_size") ||
      !has_number("global_batch_size") || !json.contains("class_names") || !json["class_names"].is_array()) {
    return absl::DataLossError(absl::StrCat(path, ": it is damaged"));
  }
  CheckpointInfo info;
  info.step = json["step"];
  if (info.step < 0) return absl::DataLossError(absl::StrCat(path, ": it is damaged: step ", info.step));
  info.seed = json["seed"];
  info.world_size = json["world_size"];
  info.global_batch_size = json["global_batch_size"];
  // Older checkpoints do not have it.
  const auto averaged = json.find("averaged");
  info.averaged = averaged != json.end() && *averaged == true;
  for (const auto& name : json["class_names"]) {
    if (!name.is_string()) return absl::DataLossError(absl::StrCat(path, ": a class name is no string"));
    info.class_names.push_back(name);
  }
  if (json.contains(kNameBytes)) {
    TRIREME_RETURN_IF_ERROR(Annotate(ReadNameBytes(json[kNameBytes], &info.class_names), path));
  }
  for (const auto& id : json.value("category_ids", nlohmann::json::array())) {
    if (!id.is_number_integer()) return absl::DataLossError(absl::StrCat(path, ": a category id is no number"));
    info.category_ids.push_back(id);
  }
  if (!info.category_ids.empty() && info.category_ids.size() != info.class_names.size()) {
    return absl::DataLossError(absl::StrCat(path, ": it has ", info.class_names.size(), " class names, but ",
                                            info.category_ids.size(), " category ids"));
  }
  return info;
}

}  // namespace trireme

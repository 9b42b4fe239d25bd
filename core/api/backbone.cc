#include "core/api/backbone.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace trireme {

void Backbone::AddStage(std::string name, std::vector<Module*> modules) {
  stages_.emplace_back(std::move(name), std::move(modules));
}

std::vector<int64_t> Backbone::MapSides(int side) const {
  std::vector<int64_t> sides;
  for (const FeatureSpec& spec : specs()) sides.push_back((side + spec.stride - 1) / spec.stride);
  return sides;
}

Status Backbone::FreezeStages(int count) {
  if (count < 0 || count > static_cast<int>(stages_.size())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "frozen_stages is ", count, "; the backbone has ", stages_.size(), " stages: ",
        absl::StrJoin(stages_, ", ", [](std::string* out, const auto& stage) { absl::StrAppend(out, stage.first); })));
  }
  for (int s = 0; s < count; ++s) {
    for (Module* module : stages_[s].second) module->Freeze();
  }
  return absl::OkStatus();
}

}  // namespace trireme

#include "core/api/backbone.h"

#include <glog/logging.h>

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

std::vector<Var> Backbone::Maps(Context& context, const Var& images) {
  std::vector<Var> maps = Forward(context, images);
  const std::vector<FeatureSpec> promised = specs();
  CHECK_EQ(maps.size(), promised.size()) << "the backbone gave other maps than its specs() say";
  for (size_t i = 0; i < maps.size(); ++i) {
    const FeatureSpec& spec = promised[i];
    CHECK(maps[i].defined()) << "the backbone left its map " << spec.name << " undefined";
    const Shape& shape = maps[i].shape();
    CHECK(shape.rank() == 4 && shape[0] == images.dim(0) && shape[3] == spec.channels)
        << "the backbone's map " << spec.name << " is " << shape.ToString() << "; its specs() say " << spec.channels
        << " channels, of " << images.dim(0) << " images";
  }
  return maps;
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

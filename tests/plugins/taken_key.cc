// A plugin with a key of its own before and after one that example_backbone has.
#include "core/api/backbone.h"
#include "core/base/plugin_loader.h"
#include "core/base/registry.h"
#include "core/nn/norm.pb.h"

TRIREME_PLUGIN("taken_key");

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Backbone>> Make(const NormConfig&, const Backbone::BuildArgs&) {
  return absl::UnimplementedError("");
}

TRIREME_REGISTER_COMPONENT("backbone/before", Backbone, NormConfig, Make);
TRIREME_REGISTER_COMPONENT("backbone/example", Backbone, NormConfig, Make);
TRIREME_REGISTER_COMPONENT("backbone/after", Backbone, NormConfig, Make);

}  // namespace
}  // namespace trireme

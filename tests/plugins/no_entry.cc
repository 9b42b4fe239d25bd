// A shared object that registers a component and does not say that it is a plugin.
#include "core/api/backbone.h"
#include "core/base/registry.h"
#include "core/nn/norm.pb.h"

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Backbone>> Make(const NormConfig&, const Backbone::BuildArgs&) {
  return absl::UnimplementedError("");
}

TRIREME_REGISTER_COMPONENT("backbone/no_entry", Backbone, NormConfig, Make);

}  // namespace
}  // namespace trireme

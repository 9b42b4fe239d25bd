// A plugin whose initialisers throw, behind one that registers a component.
#include <stdexcept>

#include "core/api/backbone.h"
#include "core/base/plugin_loader.h"
#include "core/base/registry.h"
#include "core/nn/norm.pb.h"

TRIREME_PLUGIN("throws");

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Backbone>> Make(const NormConfig&, const Backbone::BuildArgs&) {
  return absl::UnimplementedError("");
}

TRIREME_REGISTER_COMPONENT("backbone/of_one_that_throws", Backbone, NormConfig, Make);

int Throw() { throw std::runtime_error("there is no such table"); }

[[maybe_unused]] const int thrown = Throw();

}  // namespace
}  // namespace trireme

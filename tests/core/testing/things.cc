#include "tests/core/testing/things.h"

#include "tests/core/testing/things.pb.h"

namespace trireme::testing {
namespace {

class Described : public Thing {
 public:
  explicit Described(std::string text) : text_(std::move(text)) {}
  std::string Describe() const override { return text_; }

 private:
  std::string text_;
};

StatusOr<std::unique_ptr<Thing>> MakeLeaf(const LeafConfig& config, const Thing::BuildArgs& args) {
  if (config.size() < 0) return absl::InvalidArgumentError("size is negative");
  return std::make_unique<Described>(absl::StrCat("leaf of ", config.size() + args.extra));
}

StatusOr<std::unique_ptr<Thing>> MakeNest(const NestConfig& config, const Thing::BuildArgs& args) {
  TRIREME_ASSIGN_OR_RETURN(const auto inner, CreateComponent<Thing>(config.inner(), "inner", args));
  return std::make_unique<Described>(absl::StrCat("nest of ", inner->Describe()));
}

TRIREME_REGISTER_COMPONENT("thing/leaf", Thing, LeafConfig, MakeLeaf);
TRIREME_REGISTER_COMPONENT("thing/nest", Thing, NestConfig, MakeNest);

}  // namespace
}  // namespace trireme::testing

#include "models/backbones/fpn.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/registry.h"
#include "core/nn/layers.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"
#include "models/backbones/map_order.h"
#include "models/backbones/residual_blocks.h"
#include "models/backbones/upsample_add.h"

namespace trireme {
namespace {

constexpr char kWhat[] = "a pyramid";  // in the words of map_order.h

class Fpn : public Backbone {
 public:
  Fpn(const FpnConfig& config, std::unique_ptr<Backbone> body);

  std::vector<FeatureSpec> specs() const override { return specs_; }
  Status CheckImageSize(int height, int width) const override {
    TRIREME_RETURN_IF_ERROR(body_.CheckImageSize(height, width));
    return CheckSidesFall(kWhat, body_, height, width);
  }
  std::vector<int64_t> MapSides(int side) const override;
  std::vector<Var> Forward(Context& context, const Var& images) override;
  Normalisation normalisation() const override { return body_.normalisation(); }

 private:
  Conv2d* AddConv(const std::string& name, int64_t inputs, int kernel, int stride);
  void AddExtra();

  const FpnConfig config_;
  Backbone& body_;
  std::vector<const Conv2d*> inner_;
  std::vector<const Conv2d*> layer_;
  const Conv2d* p6_ = nullptr;
  const Conv2d* p7_ = nullptr;
  std::vector<FeatureSpec> specs_;
};

Fpn::Fpn(const FpnConfig& config, std::unique_ptr<Backbone> body)
    : config_(config), body_(AdoptModule("body", std::move(body))), specs_(body_.specs()) {
  for (size_t k = 0; k < specs_.size(); ++k) {
    inner_.push_back(AddConv(absl::StrCat("fpn.inner_blocks.", k, ".0"), specs_[k].channels, 1, 1));
  }
  for (size_t k = 0; k < specs_.size(); ++k) {
    layer_.push_back(AddConv(absl::StrCat("fpn.layer_blocks.", k, ".0"), config.channels(), 3, 1));
    specs_[k].channels = config.channels();
  }
  AddExtra();
}

void Fpn::AddExtra() {
  const auto add_spec = [this](const char* name) {
    specs_.push_back({name, specs_.back().stride * 2, config_.channels()});
  };
  switch (config_.extra()) {
    case FpnConfig::NONE:
      return;
    case FpnConfig::POOL:
      add_spec("pool");
      return;
    case FpnConfig::P6_P7:
      p6_ = AddConv("fpn.extra_blocks.p6", config_.channels(), 3, 2);
      p7_ = AddConv("fpn.extra_blocks.p7", config_.channels(), 3, 2);
      add_spec("p6");
      add_spec("p7");
      return;
  }
}

Conv2d* Fpn::AddConv(const std::string& name, int64_t inputs, int kernel, int stride) {
  return &AddModule<Conv2d>(name, inputs, config_.channels(), kernel, SameConv(kernel, stride), /*bias=*/true,
                            init::LecunUniform());
}

std::vector<int64_t> Fpn::MapSides(int side) const {
  std::vector<int64_t> sides = body_.MapSides(side);
  while (sides.size() < specs_.size()) sides.push_back((sides.back() + 1) / 2);
  return sides;
}

std::vector<Var> Fpn::Forward(Context& context, const Var& images) {
  const std::vector<Var> from = body_.Maps(context, images);
  CHECK_EQ(from.size(), inner_.size());
  std::vector<Var> maps(from.size());
  Var flow;
  for (size_t k = from.size(); k-- > 0;) {
    const Var lateral = inner_[k]->Forward(context, from[k]);
    flow = flow.defined() ? UpsampleAdd(context, flow, lateral) : lateral;
    maps[k] = layer_[k]->Forward(context, flow);
  }
  if (config_.extra() == FpnConfig::POOL) {
    ops::PoolOptions every_other;
    every_other.kernel = 1;
    maps.push_back(ops::MaxPool2d(context, maps.back(), every_other));
  }
  if (config_.extra() == FpnConfig::P6_P7) {
    maps.push_back(p6_->Forward(context, maps.back()));
    maps.push_back(p7_->Forward(context, ops::Relu(context, maps.back())));
  }
  return maps;
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeFpn(const FpnConfig& config, const Backbone::BuildArgs& args) {
  if (config.channels() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("channels is ", config.channels(), "; it has to be positive"));
  }
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> body,
                           CreateComponent<Backbone>(config.backbone(), "backbone", args));
  TRIREME_RETURN_IF_ERROR(CheckFinestFirst(kWhat, body->specs()));
  return std::make_unique<Fpn>(config, std::move(body));
}

TRIREME_REGISTER_COMPONENT("backbone/fpn", Backbone, FpnConfig, MakeFpn);

}  // namespace trireme

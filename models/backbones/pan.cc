#include "models/backbones/pan.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/registry.h"
#include "core/ops/pointwise.h"
#include "models/backbones/leaky_conv.h"
#include "models/backbones/map_order.h"
#include "models/backbones/upsample.h"
#include "models/backbones/upsample_add.h"

namespace trireme {
namespace {

constexpr char kWhat[] = "path aggregation";  // in the words of map_order.h

// `map` where it is as large, else cut or stretched.
Var Fit(Context& context, const Var& map, int64_t height, int64_t width) {
  Var fit = map;
  if (fit.dim(1) > height) fit = ops::Slice(context, fit, 1, 0, height);
  if (fit.dim(2) > width) fit = ops::Slice(context, fit, 2, 0, width);
  if (fit.dim(1) < height || fit.dim(2) < width) fit = Upsample(context, fit, height, width);
  return fit;
}

class Pan : public Backbone {
 public:
  Pan(const PanConfig& config, std::unique_ptr<Backbone> body);

  std::vector<FeatureSpec> specs() const override { return specs_; }
  Status CheckImageSize(int height, int width) const override {
    TRIREME_RETURN_IF_ERROR(body_.CheckImageSize(height, width));
    return CheckSidesFall(kWhat, body_, height, width);
  }
  std::vector<int64_t> MapSides(int side) const override { return body_.MapSides(side); }
  std::vector<Var> Forward(Context& context, const Var& images) override;
  Normalisation normalisation() const override { return body_.normalisation(); }

 private:
  Backbone& body_;
  std::vector<FeatureSpec> specs_;
  std::vector<const LeakyConv*> lateral_, smooth_;  // of each map
  std::vector<const LeakyConv*> down_, out_;        // of each but the finest
};

Pan::Pan(const PanConfig& config, std::unique_ptr<Backbone> body)
    : body_(AdoptModule("body", std::move(body))), specs_(body_.specs()) {
  const int64_t channels = config.channels();
  const auto add = [&](const char* name, size_t k, int64_t inputs, int kernel, int stride) {
    return &AddModule<LeakyConv>(absl::StrCat(name, ".", k), inputs, channels, kernel, stride, config.norm());
  };
  for (size_t k = 0; k < specs_.size(); ++k) lateral_.push_back(add("lateral", k, specs_[k].channels, 1, 1));
  for (size_t k = 0; k < specs_.size(); ++k) smooth_.push_back(add("smooth", k, channels, 3, 1));
  for (size_t k = 1; k < specs_.size(); ++k) {
    const double ratio = static_cast<double>(specs_[k].stride) / specs_[k - 1].stride;
    down_.push_back(add("down", k, channels, 3, std::max(1, static_cast<int>(std::lround(ratio)))));
    out_.push_back(add("out", k, channels, 3, 1));
  }
  for (FeatureSpec& spec : specs_) spec.channels = channels;
}

std::vector<Var> Pan::Forward(Context& context, const Var& images) {
  const std::vector<Var> from = body_.Maps(context, images);
  CHECK_EQ(from.size(), lateral_.size());
  std::vector<Var> maps(from.size());
  Var flow;
  for (size_t k = from.size(); k-- > 0;) {
    const Var lateral = lateral_[k]->Forward(context, from[k]);
    flow = flow.defined() ? UpsampleAdd(context, flow, lateral) : lateral;
    maps[k] = smooth_[k]->Forward(context, flow);
  }
  for (size_t k = 1; k < maps.size(); ++k) {
    const Var finer = Fit(context, down_[k - 1]->Forward(context, maps[k - 1]), maps[k].dim(1), maps[k].dim(2));
    maps[k] = out_[k - 1]->Forward(context, ops::Add(context, finer, maps[k]));
  }
  return maps;
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakePan(const PanConfig& config, const Backbone::BuildArgs& args) {
  if (config.channels() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("channels is ", config.channels(), "; it has to be positive"));
  }
  TRIREME_RETURN_IF_ERROR(CheckNorm(config.norm()));
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Backbone> body,
                           CreateComponent<Backbone>(config.backbone(), "backbone", args));
  TRIREME_RETURN_IF_ERROR(CheckFinestFirst(kWhat, body->specs()));
  return std::make_unique<Pan>(config, std::move(body));
}

TRIREME_REGISTER_COMPONENT("backbone/pan", Backbone, PanConfig, MakePan);

}  // namespace trireme

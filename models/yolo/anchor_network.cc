#include "models/yolo/anchor_network.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/ops/pointwise.h"
#include "models/backbones/upsample.h"

namespace trireme {

AnchorNetwork::AnchorNetwork(const std::vector<FeatureSpec>& maps, const std::vector<AnchorBranchOptions>& branches,
                             int num_classes, const NormConfig& norm, float prior_objectness)
    : width_(5 + num_classes), branches_(maps.size()) {
  CHECK_EQ(maps.size(), branches.size());
  int convs = 0;
  const auto next_name = [&convs] { return absl::StrCat("conv", convs++); };
  const float log_odds = std::log(prior_objectness / (1 - prior_objectness));
  const Initializer biases = [width = width_, log_odds](const Shape&, Random*, float* values, int64_t size) {
    for (int64_t i = 0; i < size; ++i) values[i] = i % width == 4 ? log_odds : 0.0f;
  };
  int64_t flow = 0;  // channels of what leads on from the coarser branch
  for (size_t k = maps.size(); k-- > 0;) {
    const AnchorBranchOptions& options = branches[k];
    Branch& branch = branches_[k];
    int64_t channels = maps[k].channels;
    const auto add = [&](int64_t inputs, int64_t outputs, int kernel) {
      return &AddModule<LeakyConv>(next_name(), inputs, outputs, kernel, /*stride=*/1, norm);
    };
    if (flow > 0) {
      branch.lateral = add(flow, options.channels, 1);
      channels += options.channels;
    }
    for (int c = 0; c < options.convs; ++c) {
      const bool narrow = c % 2 == 0;
      branch.convs.push_back(add(channels, narrow ? options.channels : 2 * options.channels, narrow ? 1 : 3));
      channels = branch.convs.back()->outputs();
    }
    flow = channels;
    branch.wide = add(channels, 2 * options.channels, 3);
    Conv2d& output = AddModule<Conv2d>(next_name(), branch.wide->outputs(), options.anchors * width_, 1,
                                       ops::ConvOptions(), /*bias=*/true, init::Normal(0.01f));
    output.set_bias_initializer(biases);
    output.keep_bias_from_decay();
    branch.output = &output;
  }
}

Var AnchorNetwork::Forward(Context& context, const std::vector<Var>& maps) const {
  CHECK_EQ(maps.size(), branches_.size());
  std::vector<Var> predictions(maps.size());
  Var flow;
  for (size_t k = maps.size(); k-- > 0;) {
    const Branch& branch = branches_[k];
    const int64_t height = maps[k].dim(1), width = maps[k].dim(2);
    Var x = maps[k];
    if (branch.lateral != nullptr) {
      const Var lateral = Upsample(context, branch.lateral->Forward(context, flow), height, width);
      x = ops::Concat(context, {lateral, x}, 3);
    }
    for (const LeakyConv* conv : branch.convs) x = conv->Forward(context, x);
    flow = x;
    const Var map = branch.output->Forward(context, branch.wide->Forward(context, x));
    predictions[k] = ops::Reshape(context, map, {map.dim(0), height * width * map.dim(3) / width_, width_});
  }
  return ops::Cast(context, ops::Concat(context, predictions, 1), DataType::kFloat32);
}

}  // namespace trireme

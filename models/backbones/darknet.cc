#include "models/backbones/darknet.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/registry.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"
#include "models/backbones/leaky_conv.h"

namespace trireme {
namespace {

class Darknet : public Backbone {
 public:
  explicit Darknet(const DarknetConfig& config);

  std::vector<FeatureSpec> specs() const override { return specs_; }
  std::vector<Var> Forward(Context& context, const Var& images) override;
  Normalisation normalisation() const override { return {{0, 0, 0}, {255, 255, 255}}; }

 private:
  struct Step {
    const LeakyConv* conv = nullptr;    // null: a pool
    const LeakyConv* second = nullptr;  // behind the first, with a way around both
    int pool_stride = 0;
    bool is_map = false;
  };

  void AddConv(int64_t channels, int kernel, int stride = 1);
  void AddConvs(const std::vector<int64_t>& channels);
  void AddResidualBlocks(int count);
  void AddPool(int stride);
  // Ends a stage: what the last step gives is the last map of its stride. Nothing is added behind the last map that is
  // wanted.
  void EndStride();
  void AddDarknet53();
  void AddDarknet19();
  void AddTiny();
  const LeakyConv* NewConv(int64_t inputs, int64_t outputs, int kernel, int stride);

  const DarknetConfig config_;
  int64_t channels_ = 3;
  int stride_ = 1, convs_ = 0;
  bool is_complete_ = false;
  std::vector<Step> steps_;
  std::vector<Module*> stage_;  // of the stage that has not ended
  std::vector<FeatureSpec> specs_;
};

Darknet::Darknet(const DarknetConfig& config) : config_(config) {
  switch (config.network()) {
    case DarknetConfig::DARKNET53:
      AddDarknet53();
      break;
    case DarknetConfig::DARKNET19:
      AddDarknet19();
      break;
    case DarknetConfig::TINY:
      AddTiny();
      break;
  }
}

const LeakyConv* Darknet::NewConv(int64_t inputs, int64_t outputs, int kernel, int stride) {
  LeakyConv& made =
      AddModule<LeakyConv>(absl::StrCat("conv", convs_++), inputs, outputs, kernel, stride, config_.norm());
  stage_.push_back(&made);
  return &made;
}

void Darknet::AddConv(int64_t channels, int kernel, int stride) {
  if (is_complete_) return;
  channels = std::max<int64_t>(1, std::llround(static_cast<double>(config_.width()) * static_cast<double>(channels)));
  Step step;
  step.conv = NewConv(channels_, channels, kernel, stride);
  channels_ = channels;
  stride_ *= stride;
  steps_.push_back(step);
}

// 3x3, and between them 1x1.
void Darknet::AddConvs(const std::vector<int64_t>& channels) {
  for (size_t k = 0; k < channels.size(); ++k) AddConv(channels[k], k % 2 == 0 ? 3 : 1);
}

void Darknet::AddResidualBlocks(int count) {
  for (int k = 0; k < count && !is_complete_; ++k) {
    const int64_t narrow = std::max<int64_t>(1, channels_ / 2);
    Step step;
    step.conv = NewConv(channels_, narrow, 1, 1);
    step.second = NewConv(narrow, channels_, 3, 1);
    steps_.push_back(step);
  }
}

void Darknet::AddPool(int stride) {
  if (is_complete_) return;
  Step step;
  step.pool_stride = stride;
  stride_ *= stride;
  steps_.push_back(step);
}

void Darknet::EndStride() {
  if (is_complete_) return;
  AddStage(absl::StrCat("stride", stride_), std::move(stage_));
  stage_.clear();
  const auto& wanted = config_.strides();
  if (std::count(wanted.begin(), wanted.end(), stride_) == 0) return;
  steps_.back().is_map = true;
  is_complete_ = stride_ == *wanted.rbegin();
  specs_.push_back({absl::StrCat("stride", stride_), stride_, channels_});
}

void Darknet::AddDarknet53() {
  AddConv(32, 3);
  int64_t channels = 64;
  for (const int blocks : {1, 2, 8, 8, 4}) {
    AddConv(channels, 3, 2);
    AddResidualBlocks(blocks);
    EndStride();
    channels *= 2;
  }
}

void Darknet::AddDarknet19() {
  AddConv(32, 3);
  for (const std::vector<int64_t>& channels : std::vector<std::vector<int64_t>>{
           {64}, {128, 64, 128}, {256, 128, 256}, {512, 256, 512, 256, 512}, {1024, 512, 1024, 512, 1024}}) {
    AddPool(2);
    AddConvs(channels);
    EndStride();
  }
}

void Darknet::AddTiny() {
  AddConv(16, 3);
  for (const int64_t channels : {32, 64, 128, 256, 512}) {
    AddPool(2);
    AddConv(channels, 3);
    if (channels < 512) EndStride();
  }
  AddPool(1);
  AddConv(1024, 3);
  EndStride();
}

std::vector<Var> Darknet::Forward(Context& context, const Var& images) {
  Var x = images;
  std::vector<Var> maps;
  for (const Step& step : steps_) {
    if (step.conv == nullptr) {
      ops::PoolOptions pool;
      pool.stride = step.pool_stride;
      pool.overhang = true;
      x = ops::MaxPool2d(context, x, pool);
    } else if (step.second == nullptr) {
      x = step.conv->Forward(context, x);
    } else {
      x = ops::Add(context, x, step.second->Forward(context, step.conv->Forward(context, x)));
    }
    if (step.is_map) maps.push_back(x);
  }
  return maps;
}

}  // namespace

StatusOr<std::unique_ptr<Backbone>> MakeDarknet(const DarknetConfig& given, const Backbone::BuildArgs&) {
  DarknetConfig config = given;
  if (config.strides_size() == 0) {
    if (config.network() != DarknetConfig::TINY) config.add_strides(8);
    config.add_strides(16);
    config.add_strides(32);
  }
  for (int k = 0; k < config.strides_size(); ++k) {
    const int stride = config.strides(k);
    const bool is_there = stride >= 2 && stride <= 32 && (stride & (stride - 1)) == 0;
    if (!is_there || (k > 0 && stride <= config.strides(k - 1))) {
      return absl::InvalidArgumentError(absl::StrCat("strides is ", absl::StrJoin(config.strides(), ", "),
                                                     "; it takes some of 2, 4, 8, 16, 32, in this order"));
    }
  }
  if (!(config.width() > 0 && config.width() <= 16)) {
    return absl::InvalidArgumentError(
        absl::StrCat("width is ", config.width(), "; it has to be positive, and 16 at most"));
  }
  TRIREME_RETURN_IF_ERROR(CheckNorm(config.norm()));
  auto made = std::make_unique<Darknet>(config);
  TRIREME_RETURN_IF_ERROR(made->FreezeStages(config.frozen_stages()));
  return made;
}

TRIREME_REGISTER_COMPONENT("backbone/darknet", Backbone, DarknetConfig, MakeDarknet);

}  // namespace trireme

// "optimizer/sgd".
#include "core/api/optimizer.h"
#include "core/base/registry.h"
#include "core/train/optimizers/rules.h"
#include "core/train/optimizers/sgd.pb.h"
#include "core/train/optimizers/trained_runs.h"

namespace trireme {
namespace {

class Sgd : public Optimizer {
 public:
  explicit Sgd(const SgdConfig& config) : config_(config) {}

  Status Setup(ParameterArena* arena) override {
    arena_ = arena;
    runs_ = FindTrainedRuns(*arena);
    if (config_.momentum() > 0) {
      momentum_ = Tensor::Zeros(arena->device(), {arena->size()}, DataType::kFloat32, MemoryKind::kOptimizer);
    }
    return absl::OkStatus();
  }

  void Update(int64_t begin, int64_t end, const UpdateInfo& info, Stream& stream) override {
    const float* gradients = arena_->gradients().data<float>();
    float* values = arena_->values().data<float>();
    for (const TrainedRun& run : IntersectRuns(runs_, begin, end)) {
      const SgdRule rule = {info.learning_rate * run.learning_rate_multiplier, config_.momentum(),
                            config_.weight_decay() * run.weight_decay_multiplier, config_.nesterov()};
      UpdateBySgd(rule, run.end - run.begin, gradients + run.begin,
                  momentum_.defined() ? momentum_.data<float>() + run.begin : nullptr, values + run.begin, stream);
    }
  }

  std::vector<std::pair<std::string, Tensor>> State() const override {
    if (!momentum_.defined()) return {};
    return {{"momentum", momentum_}};
  }

 private:
  const SgdConfig config_;
  ParameterArena* arena_ = nullptr;
  std::vector<TrainedRun> runs_;
  Tensor momentum_;
};

StatusOr<std::unique_ptr<Optimizer>> MakeSgd(const SgdConfig& config, const Optimizer::BuildArgs&) {
  if (!(config.momentum() >= 0 && config.momentum() < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("momentum is ", config.momentum(), "; it has to be at least 0 and less than 1"));
  }
  if (!(config.weight_decay() >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_decay is ", config.weight_decay(), "; it cannot be negative"));
  }
  if (config.nesterov() && config.momentum() == 0) {
    return absl::InvalidArgumentError("nesterov needs a momentum of more than 0");
  }
  return std::unique_ptr<Optimizer>(std::make_unique<Sgd>(config));
}

TRIREME_REGISTER_COMPONENT("optimizer/sgd", Optimizer, SgdConfig, MakeSgd);

}  // namespace
}  // namespace trireme

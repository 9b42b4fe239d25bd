// "optimizer/adam".
#include <cmath>

#include "core/api/optimizer.h"
#include "core/base/registry.h"
#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/rules.h"
#include "core/train/optimizers/trained_runs.h"

namespace trireme {
namespace {

class Adam : public Optimizer {
 public:
  explicit Adam(const AdamConfig& config) : config_(config) {}

  Status Setup(ParameterArena* arena) override {
    arena_ = arena;
    runs_ = FindTrainedRuns(*arena);
    for (Tensor* moment : {&first_moment_, &second_moment_}) {
      *moment = Tensor::Zeros(arena->device(), {arena->size()}, DataType::kFloat32, MemoryKind::kOptimizer);
    }
    return absl::OkStatus();
  }

  void Update(int64_t begin, int64_t end, const UpdateInfo& info, Stream& stream) override {
    const double t = static_cast<double>(info.step + 1);
    const double first_correction = 1 - std::pow(config_.beta1(), t);
    const double second_correction = 1 - std::pow(config_.beta2(), t);
    const float* gradients = arena_->gradients().data<float>();
    float* first_moment = first_moment_.data<float>();
    float* second_moment = second_moment_.data<float>();
    float* values = arena_->values().data<float>();
    for (const TrainedRun& run : IntersectRuns(runs_, begin, end)) {
      const double rate = static_cast<double>(info.learning_rate) * run.learning_rate_multiplier;
      const double decay = static_cast<double>(config_.weight_decay()) * run.weight_decay_multiplier;
      const bool decoupled = config_.decoupled_weight_decay();
      AdamRule rule;
      rule.step_size = static_cast<float>(rate / first_correction);
      rule.beta1 = static_cast<float>(config_.beta1());
      rule.beta2 = static_cast<float>(config_.beta2());
      rule.correction = static_cast<float>(std::sqrt(second_correction));
      rule.epsilon = static_cast<float>(config_.epsilon());
      rule.l2_decay = decoupled ? 0.0f : static_cast<float>(decay);
      rule.shrinkage = decoupled ? static_cast<float>(1 - rate * decay) : 1.0f;
      UpdateByAdam(rule, run.end - run.begin, gradients + run.begin, first_moment + run.begin,
                   second_moment + run.begin, values + run.begin, stream);
    }
  }

  std::vector<std::pair<std::string, Tensor>> State() const override {
    return {{"first_moment", first_moment_}, {"second_moment", second_moment_}};
  }

 private:
  const AdamConfig config_;
  ParameterArena* arena_ = nullptr;
  std::vector<TrainedRun> runs_;
  Tensor first_moment_;
  Tensor second_moment_;
};

StatusOr<std::unique_ptr<Optimizer>> MakeAdam(const AdamConfig& config, const Optimizer::BuildArgs&) {
  for (const auto& [name, beta] : {std::make_pair("beta1", config.beta1()), std::make_pair("beta2", config.beta2())}) {
    if (!(beta >= 0 && beta < 1)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is ", beta, "; it has to be at least 0 and less than 1"));
    }
  }
  if (!(config.epsilon() > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("epsilon is ", config.epsilon(), "; it has to be more than 0"));
  }
  if (!(config.weight_decay() >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_decay is ", config.weight_decay(), "; it cannot be negative"));
  }
  return std::unique_ptr<Optimizer>(std::make_unique<Adam>(config));
}

TRIREME_REGISTER_COMPONENT("optimizer/adam", Optimizer, AdamConfig, MakeAdam);

}  // namespace
}  // namespace trireme

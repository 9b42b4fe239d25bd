// "optimizer/adam".
#include <cmath>

#include "core/api/optimizer.h"
#include "core/base/registry.h"
#include "core/base/trace.h"
#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/pieces.h"
#include "core/train/optimizers/rules.h"
#include "core/train/optimizers/trained_runs.h"

namespace trireme {
namespace {

class Adam : public Optimizer {
 public:
  explicit Adam(const AdamConfig& config) : config_(config) {}

  Status Setup(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces) override {
    TRIREME_ASSIGN_OR_RETURN(map_, MapRules(arena));
    rules_ = NewRules<AdamRule>(arena.device(), map_.rules.size());
    pieces_ = OptimizerPieces(arena, pieces, {"first_moment", "second_moment"});
    return absl::OkStatus();
  }

  // A step that the guard skips counts in t, as any other: so the rules are the host's to compute.
  void BeginStep(int64_t step, float learning_rate, Stream& stream) override {
    const double t = static_cast<double>(step + 1);
    const double first_correction = 1 - std::pow(config_.beta1(), t);
    const double second_correction = 1 - std::pow(config_.beta2(), t);
    const bool decoupled = config_.decoupled_weight_decay();
    std::vector<AdamRule> rules;
    for (const RuleMultipliers& by : map_.rules) {
      const double rate = static_cast<double>(learning_rate) * by.learning_rate;
      const double decay = static_cast<double>(config_.weight_decay()) * by.weight_decay;
      AdamRule rule;
      rule.step_size = static_cast<float>(rate / first_correction);
      rule.correction = static_cast<float>(std::sqrt(second_correction));
      rule.l2_decay = decoupled ? 0.0f : static_cast<float>(decay);
      rule.shrinkage = decoupled ? static_cast<float>(1 - rate * decay) : 1.0f;
      rules.push_back(rule);
    }
    WriteRules(rules, rules_, stream);
  }

  void Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) override {
    const TraceSpan span(TraceKind::kUpdate, "adam", -1, (end - begin) * static_cast<int64_t>(sizeof(float)));
    const AdamConstants constants = {static_cast<float>(config_.beta1()), static_cast<float>(config_.beta2()),
                                     static_cast<float>(config_.epsilon())};
    const OptimizerPieces::Piece& piece = pieces_.Find(begin, end);
    const AdamArrays arrays = {piece.at.begin, piece.at.gradients.data<float>(), piece.state[0].data<float>(),
                               piece.state[1].data<float>(), piece.at.values.data<float>()};
    UpdateByAdam(map_, rules_, constants, arrays, begin, end, control, stream);
  }

  std::vector<OptimizerState> State() const override { return pieces_.State(); }

 private:
  const AdamConfig config_;
  RuleMap map_;
  Tensor rules_;
  OptimizerPieces pieces_;
};

StatusOr<std::unique_ptr<Optimizer>> MakeAdam(const AdamConfig& config, const Optimizer::BuildArgs&) {
  for (const auto& [name, beta] : {std::make_pair("beta1", config.beta1()), std::make_pair("beta2", config.beta2())}) {
    if (!(beta >= 0 && beta < 1)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is ", beta, "; it has to be at least 0 and less than 1"));
    }
  }
  if (!(config.epsilon() > 0 && std::isfinite(config.epsilon()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("epsilon is ", config.epsilon(), "; it has to be more than 0 and finite"));
  }
  if (!(config.weight_decay() >= 0 && std::isfinite(config.weight_decay()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_decay is ", config.weight_decay(), "; it has to be at least 0 and finite"));
  }
  return std::unique_ptr<Optimizer>(std::make_unique<Adam>(config));
}

TRIREME_REGISTER_COMPONENT("optimizer/adam", Optimizer, AdamConfig, MakeAdam);

}  // namespace
}  // namespace trireme

// "optimizer/sgd".
#include <cmath>

#include "core/api/optimizer.h"
#include "core/base/registry.h"
#include "core/base/trace.h"
#include "core/train/optimizers/pieces.h"
#include "core/train/optimizers/rules.h"
#include "core/train/optimizers/sgd.pb.h"
#include "core/train/optimizers/trained_runs.h"

namespace trireme {
namespace {

class Sgd : public Optimizer {
 public:
  explicit Sgd(const SgdConfig& config) : config_(config) {}

  Status Setup(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces) override {
    TRIREME_ASSIGN_OR_RETURN(map_, MapRules(arena));
    rules_ = NewRules<SgdRule>(arena.device(), map_.rules.size());
    std::vector<std::string> names;
    if (config_.momentum() > 0) names = {"momentum"};
    pieces_ = OptimizerPieces(arena, pieces, names);
    return absl::OkStatus();
  }

  void BeginStep(int64_t, float learning_rate, Stream& stream) override {
    std::vector<SgdRule> rules;
    for (const RuleMultipliers& by : map_.rules) {
      rules.push_back({learning_rate * by.learning_rate, config_.weight_decay() * by.weight_decay});
    }
    WriteRules(rules, rules_, stream);
  }

  void Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) override {
    const TraceSpan span(TraceKind::kUpdate, "sgd", -1, (end - begin) * static_cast<int64_t>(sizeof(float)));
    const OptimizerPieces::Piece& piece = pieces_.Find(begin, end);
    const SgdArrays arrays = {piece.at.begin, piece.at.gradients.data<float>(),
                              piece.state.empty() ? nullptr : piece.state[0].data<float>(),
                              piece.at.values.data<float>()};
    UpdateBySgd(map_, rules_, {config_.momentum(), config_.nesterov()}, arrays, begin, end, control, stream);
  }

  std::vector<OptimizerState> State() const override { return pieces_.State(); }

 private:
  const SgdConfig config_;
  RuleMap map_;
  Tensor rules_;
  OptimizerPieces pieces_;
};

StatusOr<std::unique_ptr<Optimizer>> MakeSgd(const SgdConfig& config, const Optimizer::BuildArgs&) {
  if (!(config.momentum() >= 0 && config.momentum() < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("momentum is ", config.momentum(), "; it has to be at least 0 and less than 1"));
  }
  if (!(config.weight_decay() >= 0 && std::isfinite(config.weight_decay()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight_decay is ", config.weight_decay(), "; it has to be at least 0 and finite"));
  }
  if (config.nesterov() && config.momentum() == 0) {
    return absl::InvalidArgumentError("nesterov needs a momentum of more than 0");
  }
  return std::unique_ptr<Optimizer>(std::make_unique<Sgd>(config));
}

TRIREME_REGISTER_COMPONENT("optimizer/sgd", Optimizer, SgdConfig, MakeSgd);

}  // namespace
}  // namespace trireme

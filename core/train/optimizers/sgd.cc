// "optimizer/sgd".
#include "core/api/optimizer.h"
#include "core/base/registry.h"
#include "core/base/trace.h"
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
    TRIREME_ASSIGN_OR_RETURN(map_, MapRules(*arena));
    rules_ = NewRules<SgdRule>(arena->device(), map_.rules.size());
    if (config_.momentum() > 0) {
      momentum_ = Tensor::Zeros(arena->device(), {arena->size()}, DataType::kFloat32, MemoryKind::kOptimizer);
    }
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
    const SgdArrays arrays = {arena_->gradients().data<float>(),
                              momentum_.defined() ? momentum_.data<float>() : nullptr, arena_->values().data<float>()};
    UpdateBySgd(map_, rules_, {config_.momentum(), config_.nesterov()}, arrays, begin, end, control, stream);
  }

  std::vector<std::pair<std::string, Tensor>> State() const override {
    if (!momentum_.defined()) return {};
    return {{"momentum", momentum_}};
  }

 private:
  const SgdConfig config_;
  ParameterArena* arena_ = nullptr;
  RuleMap map_;
  Tensor rules_;
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

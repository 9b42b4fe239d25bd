#include "tools/job/rank_parts.h"

#include <numeric>
#include <utility>
#include <vector>

#include "core/base/registry.h"
#include "core/train/agreement.h"
#include "core/train/weights.h"
#include "tools/job/job_facts.h"
#include "tools/job/learning_rate.h"
#include "tools/job/precision.h"

namespace trireme {

StepGuardOptions GuardOptionsOf(const Config& config) {
  StepGuardOptions options;
  options.loss_scale.enabled = config.precision() == Config::FP16;
  options.loss_scale.initial = config.loss_scale().initial();
  options.loss_scale.growth_steps = config.loss_scale().growth_steps();
  if (config.not_finite() == Config::SKIP) options.most_not_finite_in_a_row = config.not_finite_limit();
  options.clip_norm = config.clip_gradient_norm();
  return options;
}

Status BuildRank(const Job& job, Device& device, Communicator& communicator, RankParts* parts) {
  const Config& config = job.config;
  TRIREME_RETURN_IF_ERROR(AgreeOn(FactsOf(job), communicator, device));
  if (config.workers() == communicator.size()) {
    parts->among_workers = &communicator;
  } else {
    std::vector<int> workers(static_cast<size_t>(config.workers()));
    std::iota(workers.begin(), workers.end(), 0);
    TRIREME_ASSIGN_OR_RETURN(parts->subset, communicator.Subset(workers));
    parts->among_workers = parts->subset.get();
  }
  TRIREME_ASSIGN_OR_RETURN(parts->detector,
                           CreateComponent<Detector>(config.model(), "model", {job.train_data->class_names()}));
  TRIREME_ASSIGN_OR_RETURN(parts->arena, ParameterArena::Build(parts->detector.get(), device, communicator.size(),
                                                               config.seed(), ActivationType(PrecisionOf(config))));
  if (parts->arena->parameters().empty()) return absl::InvalidArgumentError("the model has no parameters");
  TRIREME_ASSIGN_OR_RETURN(parts->optimizer, CreateComponent<Optimizer>(config.optimizer(), "optimizer", {}));
  TRIREME_ASSIGN_OR_RETURN(parts->schedule, MakeSchedule(job));
  // Before the strategy's Setup, which may put them elsewhere, too.
  if (!job.resume_from.empty()) {
    TRIREME_RETURN_IF_ERROR(LoadWeights(ModelFile(job.resume_from), parts->arena.get()));
  } else if (config.has_initial_weights()) {
    TRIREME_RETURN_IF_ERROR(Annotate(LoadWeights(config.initial_weights(), parts->arena.get()), "initial_weights"));
  }
  if (config.has_weight_average() && parts->among_workers != nullptr) {
    const WeightAverageOptions options = {config.weight_average().decay(), config.weight_average().warmup_steps()};
    parts->average = std::make_unique<WeightAverage>(*parts->arena, options);
  }
  if (job.resumed.averaged) {
    TRIREME_RETURN_IF_ERROR(LoadWeights(TrainedFile(job.resume_from), parts->arena.get()));
  }
  const StepGuardOptions of_guard = GuardOptionsOf(config);
  Strategy::BuildArgs args;
  args.arena = parts->arena.get();
  args.optimizer = parts->optimizer.get();
  args.communicator = &communicator;
  args.schedule = parts->schedule.get();
  args.may_skip = of_guard.loss_scale.enabled || of_guard.most_not_finite_in_a_row > 0;
  args.scales_losses = of_guard.loss_scale.enabled;
  TRIREME_ASSIGN_OR_RETURN(parts->strategy, CreateComponent<Strategy>(config.strategy(), "strategy", args));
  std::vector<Fact> facts = FactsOf(*parts->arena);
  for (Fact& fact : FactsOf(*parts->strategy)) facts.push_back(std::move(fact));
  TRIREME_RETURN_IF_ERROR(AgreeOn(facts, communicator, device));
  TRIREME_RETURN_IF_ERROR(parts->strategy->Setup());
  const bool judges_alone = parts->among_workers == nullptr || !parts->strategy->synchronous();
  Communicator& judges = judges_alone ? parts->alone : *parts->among_workers;
  parts->guard = std::make_unique<StepGuard>(*parts->arena, judges, of_guard);
  return absl::OkStatus();
}

}  // namespace trireme

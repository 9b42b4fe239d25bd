#include "core/train/optimizers/trained_runs.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

int FindOrAdd(const ParameterOptions& options, std::vector<RuleMultipliers>* rules) {
  const RuleMultipliers wanted = {options.learning_rate_multiplier, options.weight_decay_multiplier};
  const auto found = std::find_if(rules->begin(), rules->end(), [&](const RuleMultipliers& rule) {
    return rule.learning_rate == wanted.learning_rate && rule.weight_decay == wanted.weight_decay;
  });
  const int index = static_cast<int>(found - rules->begin());
  if (found == rules->end()) rules->push_back(wanted);
  return index;
}

Tensor TableByLine(const ParameterArena& arena, const std::vector<TrainedRun>& runs) {
  std::vector<uint8_t> table(static_cast<size_t>(arena.size() / RuleMap::kLine), RuleMap::kNoRule);
  for (const TrainedRun& run : runs) {
    CHECK_EQ(run.begin % RuleMap::kLine, 0) << "every parameter begins a cache line";
    for (int64_t line = run.begin / RuleMap::kLine; line * RuleMap::kLine < run.end; ++line) {
      table[static_cast<size_t>(line)] = static_cast<uint8_t>(run.rule);
    }
  }
  const Tensor tensor =
      Tensor::Empty(arena.device(), {static_cast<int64_t>(table.size())}, DataType::kUint8, MemoryKind::kOptimizer);
  tensor.CopyFromHost(table.data());
  return tensor;
}

}  // namespace

StatusOr<RuleMap> MapRules(const ParameterArena& arena, RuleLookup lookup) {
  RuleMap map;
  bool open = false;
  for (const Parameter* parameter : arena.parameters()) {
    if (!parameter->options.trainable) {
      open = false;
      continue;
    }
    const int rule = FindOrAdd(parameter->options, &map.rules);
    const int64_t end = parameter->offset + parameter->shape.size();
    if (open && map.runs.back().rule == rule) {
      map.runs.back().end = end;
    } else {
      map.runs.push_back({parameter->offset, end, rule});
      open = true;
    }
  }
  if (map.rules.size() >= RuleMap::kNoRule) {
    return absl::InvalidArgumentError(absl::StrCat("the model's parameters have ", map.rules.size(),
                                                   " different pairs of learning rate and weight decay multipliers; "
                                                   "at most ",
                                                   RuleMap::kNoRule - 1, " can be told apart"));
  }
  if (lookup == RuleLookup::kByLine || arena.device().kind() != DeviceKind::kCpu) {
    map.by_line = TableByLine(arena, map.runs);
  }
  return map;
}

std::vector<TrainedRun> IntersectRuns(const std::vector<TrainedRun>& runs, int64_t begin, int64_t end) {
  std::vector<TrainedRun> parts;
  for (auto it =
           std::partition_point(runs.begin(), runs.end(), [&](const TrainedRun& run) { return run.end <= begin; });
       it != runs.end() && it->begin < end; ++it) {
    TrainedRun part = *it;
    part.begin = std::max(part.begin, begin);
    part.end = std::min(part.end, end);
    if (part.begin < part.end) parts.push_back(part);
  }
  return parts;
}

}  // namespace trireme

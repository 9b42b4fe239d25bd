#include "core/train/optimizers/trained_runs.h"

#include <algorithm>

namespace trireme {

std::vector<TrainedRun> FindTrainedRuns(const ParameterArena& arena) {
  std::vector<TrainedRun> runs;
  bool open = false;
  for (const Parameter* parameter : arena.parameters()) {
    const ParameterOptions& options = parameter->options;
    if (!options.trainable) {
      open = false;
      continue;
    }
    const int64_t end = parameter->offset + parameter->shape.size();
    if (open && runs.back().learning_rate_multiplier == options.learning_rate_multiplier &&
        runs.back().weight_decay_multiplier == options.weight_decay_multiplier) {
      runs.back().end = end;
    } else {
      runs.push_back({parameter->offset, end, options.learning_rate_multiplier, options.weight_decay_multiplier});
      open = true;
    }
  }
  return runs;
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

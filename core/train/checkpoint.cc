#include "core/train/checkpoint.h"

#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/train/rank_zero_work.h"
#include "core/train/weights.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// A network may have diverged behind losses that are finite: a relu can make 0 of what is no number.
Status CheckFinite(const SafetensorsContent& model, int64_t step) {
  const NamedArray* const array = FindNotFinite(model);
  if (array == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "after step ", step, " ", array->name,
      " holds values that are not finite, so no checkpoint is written and the ones before stay; go on from the last "
      "one (--resume) at a lower rate, or with clip_gradient_norm"));
}

void SetModel(const ParameterArena& arena, const WeightAverage* average, CheckpointContent* content) {
  if (average == nullptr) {
    content->model = WeightsOf(arena);
    return;
  }
  content->trained = WeightsOf(arena);
  average->Exchange();
  content->model = WeightsOf(arena);
  average->Exchange();
}

}  // namespace

Status SaveCheckpoint(const std::string& run_folder, int keep, const CheckpointInfo& info, const CheckpointParts& parts,
                      Communicator& communicator) {
  const ParameterArena& arena = *parts.arena;
  Device& device = arena.device();
  const int rank = communicator.rank();
  CheckpointContent content;
  TRIREME_ASSIGN_OR_RETURN(content.state, GatherTrainingState(parts, info.world_size, communicator));
  if (rank == 0) SetModel(arena, parts.average, &content);
  TRIREME_RETURN_IF_ERROR(communicator.status());
  const Status written = WhileRankZeroWorks(communicator, device, [&]() -> Status {
    TRIREME_RETURN_IF_ERROR(CheckFinite(content.model, info.step));
    if (content.trained.has_value()) TRIREME_RETURN_IF_ERROR(CheckFinite(*content.trained, info.step));
    return WriteCheckpoint(run_folder, keep, info, content);
  });
  if (!written.ok() && rank != 0) return written;
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> messages,
                           AllGatherStrings(communicator, std::string(written.message()), device));
  if (messages[0].empty()) return absl::OkStatus();
  return rank == 0 ? written : absl::UnavailableError(messages[0]);
}

Status SaveModel(const std::string& run_folder, const CheckpointInfo& info, const ParameterArena& arena) {
  CHECK_EQ(info.step, 0);
  const std::vector<std::string> all = ListCheckpoints(run_folder);
  if (!all.empty() && all.back() != CheckpointPath(run_folder, info.step)) {
    return absl::InvalidArgumentError(absl::StrCat(run_folder, " holds a run with ",
                                                   fs::path(all.back()).filename().string(),
                                                   ", which would be taken instead; name another folder"));
  }
  CheckpointContent content;
  content.model = WeightsOf(arena);
  if (const NamedArray* const array = FindNotFinite(content.model)) {
    return absl::InvalidArgumentError(absl::StrCat(array->name, " holds values that are not finite"));
  }
  return WriteCheckpoint(run_folder, 1, info, content);
}

}  // namespace trireme

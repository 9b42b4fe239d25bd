// The folders that checkpoints are: how one comes to be, is found, and goes, each whole or not at all.
#ifndef TRIREME_CORE_TRAIN_CHECKPOINT_FOLDER_H_
#define TRIREME_CORE_TRAIN_CHECKPOINT_FOLDER_H_

#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/train/checkpoint_info.h"
#include "core/train/evaluation_report.h"
#include "core/train/safetensors.h"

namespace trireme {

// Of a run, of which `run_folder` may be none. From the lowest step to the highest.
std::vector<std::string> ListCheckpoints(const std::string& run_folder);
// Where the run's checkpoint of a step lies, or would.
std::string CheckpointPath(const std::string& run_folder, int64_t step);

// Whether `path` is the folder of one; false for what cannot be looked into.
bool IsCheckpoint(const std::string& path);
// `path` is a checkpoint, or a run whose newest checkpoint is meant. NotFound if it is neither.
StatusOr<std::string> FindCheckpoint(const std::string& path);

// NotFound if it is gone, DataLoss if it is damaged.
StatusOr<CheckpointInfo> ReadCheckpointInfo(const std::string& checkpoint);

// Of a checkpoint: what LoadWeights takes.
std::string ModelFile(const std::string& checkpoint);
// And what LoadTrainingState reads besides.
std::string StateFile(const std::string& checkpoint);
// What LoadWeights takes, where training goes on from other weights than the model's (CheckpointInfo::averaged).
std::string TrainedFile(const std::string& checkpoint);

struct CheckpointContent {
  SafetensorsContent model, state;
  std::optional<SafetensorsContent> trained;  // where these are not the model's weights
};

// Writes it to a temporary folder, flushed, then renamed; replaces one of the same step, and removes the oldest beyond
// `keep`, but for the best.
Status WriteCheckpoint(const std::string& run_folder, int keep, const CheckpointInfo& info,
                       const CheckpointContent& content);

// Keeps what an evaluation of the checkpoint found in it, as evaluation.json, or why not: what the file system says.
Status WriteEvaluation(const std::string& checkpoint, const EvaluationReport& report);
// Nothing where there is none of that name.
std::optional<double> ReadEvaluation(const std::string& checkpoint, const std::string& name);

// Makes RUN/best a link to the checkpoint of this step, which has to be there and is kept then; the one that was the
// best goes, unless it is among the newest `keep`. Unavailable where no link can be made; the best is then the one
// before.
Status LinkBest(const std::string& run_folder, int keep, int64_t step);
// What it links to; empty where there is none.
std::string BestCheckpoint(const std::string& run_folder);

// What was left in a run's folder by a process that was killed while it wrote a checkpoint, or removed one. The next
// WriteCheckpoint does so, too; for a run that goes on, but has nothing to save.
void RemoveUnfinishedCheckpoints(const std::string& run_folder);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_CHECKPOINT_FOLDER_H_

// What a checkpoint says of itself in checkpoint.json.
#ifndef TRIREME_CORE_TRAIN_CHECKPOINT_INFO_H_
#define TRIREME_CORE_TRAIN_CHECKPOINT_INFO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

struct CheckpointInfo {
  int64_t step = 0;  // steps done
  uint64_t seed = 0;
  int world_size = 1;  // workers; ranks behind them only serve
  int64_t global_batch_size = 0;
  std::vector<std::string> class_names;
  std::vector<int64_t> category_ids;  // of these (Dataset::category_ids); empty in older checkpoints
  // The model is an average, and what is trained lies beside it (TrainedFile). WriteCheckpoint sets it by its content.
  bool averaged = false;
  std::string config_text;  // in config.pbtxt, not in checkpoint.json
};

std::string ToJson(const CheckpointInfo& info);

// DataLoss, with `path` in its message, where it is damaged.
StatusOr<CheckpointInfo> ParseCheckpointInfo(const std::string& text, const std::string& path);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_CHECKPOINT_INFO_H_

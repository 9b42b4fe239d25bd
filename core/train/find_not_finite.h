// Where a step's values first cease to be finite: its forward and backward pass once more, piece by piece, with a look
// at what every function made.
#ifndef TRIREME_CORE_TRAIN_FIND_NOT_FINITE_H_
#define TRIREME_CORE_TRAIN_FIND_NOT_FINITE_H_

#include <string>
#include <vector>

#include "core/api/batch.h"
#include "core/api/communicator.h"
#include "core/api/detector.h"
#include "core/nn/parameter_arena.h"
#include "core/train/step_results.h"

namespace trireme {

struct NotFiniteTrial {
  Device* device = nullptr;
  Communicator* communicator = nullptr;
  bool collective = true;  // false: this worker's alone, as those of an asynchronous strategy are elsewhere
  Detector* detector = nullptr;
  const ParameterArena* arena = nullptr;
  Precision precision = Precision::kFloat32;
  uint64_t seed = 0;
  int64_t step = 0;
  const std::vector<Batch>* parts = nullptr;  // this worker's batch of that step
  const float* loss_scale = nullptr;
};

struct NotFiniteFinding {
  // Looks before it was found; -1: all was finite. The same order on every worker, so the least of all is the origin.
  int64_t order = -1;
  // "the output of batch_norm in backbone.stage1.0.norm1"
  std::string where;
};

// Every worker looks at its own part; collective, if the trial is, as the model's forward pass is. Gradients in the
// arena are lost; parameters and buffers stay as they are. May throw DeviceError.
StatusOr<NotFiniteFinding> FindWhereNotFinite(const NotFiniteTrial& trial);

// A sentence for a step whose losses or gradients are not finite: "step 7, rank 1: the loss fit is inf (images 3, 8);
// the first values that are not finite are the output of ...". The rank is the one where they come from; `image_ids`
// are this worker's. Of a collective trial it is the same on every worker, else `outcome` is this worker's alone. A
// device's fault on the way is returned, but for memory that does not suffice, which the sentence tells.
StatusOr<std::string> DescribeNotFinite(const NotFiniteTrial& trial, const std::vector<int64_t>& image_ids,
                                        const StepOutcome& outcome);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_FIND_NOT_FINITE_H_

// One training step of one worker, as work that is enqueued: forward, backward, the exchange of losses, and the
// strategy's update. The host reads nothing back; what it wants to know is sent to it (see step_results.h).
//
// A batch may be worked off in parts, one after the other, so that no more than one part's activations take memory:
// gradients add up in the arena, the loss is the mean of the parts' losses, and the strategy communicates with the last
// part only.
//
// Where the device and the communicator can, a step is recorded, all its parts together, and from then on launched as a
// whole, which costs the host next to nothing. Two steps of each batch shape run as they are first: in them, functions
// choose their algorithms and take the memory that they keep. A recording holds the addresses of its batch; a batch
// that lies elsewhere is recorded anew.
#ifndef TRIREME_CORE_TRAIN_TRAIN_STEP_H_
#define TRIREME_CORE_TRAIN_TRAIN_STEP_H_

#include <functional>
#include <memory>
#include <vector>

#include "core/api/batch.h"
#include "core/api/detector.h"
#include "core/api/schedule.h"
#include "core/api/strategy.h"
#include "core/train/step_guard.h"
#include "core/train/step_results.h"
#include "core/train/weight_average.h"
#include "core/train/weight_watch.h"

namespace trireme {

struct TrainStepOptions {
  Precision precision = Precision::kFloat32;
  uint64_t seed = 0;
  bool may_record = true;  // false: every step is enqueued piece by piece
};

class TrainStep {
 public:
  // Outlive the step, and belong to this worker.
  struct Parts {
    Device* device = nullptr;
    Communicator* communicator = nullptr;
    Detector* detector = nullptr;
    ParameterArena* arena = nullptr;
    Optimizer* optimizer = nullptr;
    Strategy* strategy = nullptr;
    StepGuard* guard = nullptr;
    WeightAverage* average = nullptr;  // null: there is none
  };

  // `results` outlives the step, too.
  TrainStep(const Parts& parts, StepResults* results, const TrainStepOptions& options);
  // Waits for recordings that are running.
  ~TrainStep();

  // Enqueues the step, and that its results are sent. `parts` are the batch, one or more of one shape. `note` is asked
  // for this worker's note: before the step, and where the compute stream runs work at once, again when the backward
  // pass is done. May throw DeviceError.
  Status Run(int64_t step, float learning_rate, const std::vector<Batch>& parts,
             const std::function<WorkerNote()>& note);

  // Positions in the arena of the trained parameters that no gradient came to in the first batch (the first part of the
  // first step): nothing that a loss depends on was computed from them.
  const std::vector<int>& unreached() const { return unreached_; }

  // How many steps were recorded so far.
  int num_recorded() const { return num_recorded_; }

 private:
  static constexpr int kStepsBeforeRecording = 2;
  struct Recording {
    Shape images, boxes;
    int steps_before = 0;
    std::vector<const void*> addresses;
    std::unique_ptr<Graph> graph;
  };

  // What may be recorded.
  Status Enqueue(int64_t step, const std::vector<Batch>& parts, const std::function<WorkerNote()>& note);
  // Forward and backward.
  Status EnqueuePart(int64_t step, const std::vector<Batch>& parts, size_t part);
  Status EnqueueOrLaunch(int64_t step, const std::vector<Batch>& parts, const std::function<WorkerNote()>& note);
  Recording& FindRecording(const Batch& part);
  Status Record(int64_t step, const std::vector<Batch>& parts, Recording* recording);
  void ForgetRecording(Recording* recording);

  const Parts parts_;
  StepResults& results_;
  const WeightWatch weights_;
  const TrainStepOptions options_;
  const bool may_record_;
  const std::vector<Var> parameters_;
  std::vector<Recording> recordings_;
  bool is_first_ = true;
  std::vector<int> unreached_;
  int num_recorded_ = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_TRAIN_STEP_H_

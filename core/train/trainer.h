// The training loop of one worker; every worker of a job runs the same one.
#ifndef TRIREME_CORE_TRAIN_TRAINER_H_
#define TRIREME_CORE_TRAIN_TRAINER_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/api/batch.h"
#include "core/api/detector.h"
#include "core/api/schedule.h"
#include "core/api/strategy.h"

namespace trireme {

// Of the whole job; rank 0 hands it to its observer.
struct StepReport {
  int64_t step = 0;  // counted from 0
  double loss = 0;   // the sum of `losses`
  std::vector<std::pair<std::string, double>> losses;
  double learning_rate = 0;
  double seconds = 0;            // of this step, on rank 0
  double data_wait_seconds = 0;  // of these, waiting for the loader; the largest over workers
  double peer_wait_seconds = 0;  // of these, waiting for peers or moving bytes; the largest over workers
};

// What an evaluation found: "mAP50", "AP50/circle", ... in a fixed order.
using EvaluationReport = std::vector<std::pair<std::string, double>>;

// Told on rank 0 only, on the worker's thread.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  virtual void OnStep(const StepReport& report) = 0;
  virtual void OnEvaluation(int64_t steps_done, const EvaluationReport& report) = 0;
  virtual void OnCheckpoint(int64_t steps_done) = 0;
};

struct TrainerOptions {
  int64_t first_step = 0;  // steps done already
  int64_t total_steps = 0;
  int64_t evaluate_every = 0;    // 0: at the end only
  int64_t checkpoint_every = 0;  // 0: at the end and when stopped only
  uint64_t seed = 0;
};

// All belong to this worker, are set up, and outlive the trainer. Collective: every rank has the same options.
class Trainer {
 public:
  struct Parts {
    Device* device = nullptr;
    Communicator* communicator = nullptr;
    Detector* detector = nullptr;
    ParameterArena* arena = nullptr;
    Optimizer* optimizer = nullptr;
    Schedule* schedule = nullptr;
    Strategy* strategy = nullptr;
    BatchSource* batches = nullptr;
    TrainObserver* observer = nullptr;  // null on all ranks but 0
    // Empty: no evaluation. Collective.
    std::function<StatusOr<EvaluationReport>(int64_t steps_done)> evaluate;
    // Collective.
    std::function<Status(int64_t steps_done)> save_checkpoint;
    // Set by a signal; workers agree on the step to stop after.
    const std::atomic<bool>* stop_requested = nullptr;
  };

  Trainer(const Parts& parts, const TrainerOptions& options);

  // Trains from first_step to total_steps; a resumed run begins with the evaluation that is due at first_step, if any.
  // Cancelled if it was asked to stop: a checkpoint of where it stopped was saved. A loss that is not finite stops the
  // job, before it reaches the weights, with a sentence that names the loss, the rank and the images.
  Status Run();

 private:
  Status RunLoop();
  Status EvaluateIfDue(int64_t steps_done);
  Status TrainStep(int64_t step, StepReport* report, bool* stop);
  // The losses summed over workers, the stop flag, and the longest waits, in one small reduction.
  Status ShareStep(int64_t step, const std::vector<int64_t>& image_ids, double data_wait, double peer_wait,
                   StepReport* report, bool* stop);

  Parts parts_;
  TrainerOptions options_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_TRAINER_H_

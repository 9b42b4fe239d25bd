// The training loop of one worker; every worker of a job runs the same one.
//
// Where the device runs beside the host, the loop reads a step's results when the next step is enqueued already, so
// that the device never waits for the host; it catches up before a checkpoint, an evaluation and the end. Where the
// compute stream runs work at once (CPU), it reads them in the same step.
//
// What interrupts the run waits for a step after which the strategy is settled (see core/api/strategy.h).
//
// Workers of an asynchronous strategy go through their steps each at its own pace. They meet every few steps, and
// before an interruption: then rank 0 hands its observer the steps since the last meeting, and all agree on a stop.
#ifndef TRIREME_CORE_TRAIN_TRAINER_H_
#define TRIREME_CORE_TRAIN_TRAINER_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/api/batch.h"
#include "core/api/detector.h"
#include "core/api/lone_communicator.h"
#include "core/api/schedule.h"
#include "core/api/strategy.h"
#include "core/train/evaluation_report.h"
#include "core/train/step_clock.h"
#include "core/train/step_guard.h"
#include "core/train/step_results.h"
#include "core/train/train_step.h"

namespace trireme {

// Of the whole job; rank 0 hands it to its observer.
struct StepReport {
  int64_t step = 0;  // counted from 0
  double loss = 0;   // the sum of `losses`
  std::vector<std::pair<std::string, double>> losses;
  double learning_rate = 0;
  double seconds = 0;            // of this step, on rank 0
  double data_wait_seconds = 0;  // of these, waiting for the loader; mean over workers
  double peer_wait_seconds = 0;  // of these, waiting for peers or moving bytes and nothing else; mean over workers
  // Of the step before.
  double communication_seconds = 0;  // in which the strategy moved gradients or parameters, hidden or not; mean
  int64_t bytes_sent = 0;            // by the worker that sent most
  bool applied = true;               // false: it was left out, and the weights are those of the step before
  // Why it was left out, a sentence; empty: it was not, or its gradients overflowed float16.
  std::string not_finite;
  double loss_scale = 1;
  double gradient_norm = 0;  // over all trained parameters, before clipping; 0 where it is not known
};

// Told on rank 0 only, on the worker's thread.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  // Before the first OnStep, if there are such: the names of trained parameters that no gradient came to in rank 0's
  // first batch. They will stay as they are, but for weight decay.
  virtual void OnUnreached(const std::vector<std::string>& parameters) = 0;
  virtual void OnStep(const StepReport& report) = 0;
  virtual void OnEvaluation(int64_t steps_done, const EvaluationReport& report) = 0;
  virtual void OnCheckpoint(int64_t steps_done) = 0;
};

struct TrainerOptions {
  int64_t first_step = 0;  // steps done already
  int64_t total_steps = 0;
  int64_t evaluate_every = 0;                 // 0: at the end only
  int64_t checkpoint_every = 0;               // 0: none but those at the end, when stopped, and by the next field
  bool checkpoint_before_evaluation = false;  // each evaluation is then of a model that is saved
  // Batches of the source in a step: step s takes those from s times this on. See TrainStep.
  int accumulate_steps = 1;
  // Steps whose losses or gradients are not finite, as StepGuardOptions has it: one more stops the job.
  int most_not_finite_in_a_row = 0;
  TrainStepOptions step;
};

// All belong to this worker, are set up, and outlive the trainer. Collective: every rank has the same options.
class Trainer {
 public:
  struct Parts : TrainStep::Parts {
    Schedule* schedule = nullptr;
    BatchSource* batches = nullptr;
    TrainObserver* observer = nullptr;  // null on all ranks but 0
    // Empty: no evaluation. Collective. Cancelled, on every rank, where one was asked to stop before it was done.
    std::function<StatusOr<EvaluationReport>(int64_t steps_done)> evaluate;
    // Collective.
    std::function<Status(int64_t steps_done)> save_checkpoint;
    // Set by a signal; workers agree on the step to stop after, the next settled one.
    const std::atomic<bool>* stop_requested = nullptr;
  };

  Trainer(const Parts& parts, const TrainerOptions& options);

  // Trains from first_step to total_steps; a resumed run begins with the evaluation that is due at first_step, if any.
  // Cancelled if it was asked to stop: a checkpoint of where it stopped was saved; an evaluation that was under way is
  // made up for when the run is resumed. A loss that is not finite stops the job, before it reaches the weights, with a
  // sentence that names the loss, the rank, the images and the function; weights that are not finite behind losses that
  // are stop it within WeightWatch::kSteps steps. Memory that does not suffice ends in one that
  // names who took it, and a batch size that would fit.
  Status Run();

  // For tests and reports.
  const TrainStep& step() const { return step_; }

 private:
  // A step that was enqueued, and whose results were not read.
  struct PendingStep {
    int64_t step = 0;
    double learning_rate = 0;
    double start = 0;
    std::vector<int64_t> image_ids;
  };

  // A step whose results were read.
  struct FinishedStep {
    PendingStep step;
    double seconds = 0;
    std::string not_finite;  // why it was left out
  };

  Status RunLoop();
  // Once the strategy is settled, and the results of all steps were read.
  Status Interrupt(const Interruption& due);
  // Once the strategy is settled. Collective.
  Status CheckSameWeights(int64_t steps_done);
  bool IsCheckpointDue(int64_t steps_done) const;
  bool IsEvaluationDue(int64_t steps_done) const;
  // Of a run that goes on from here: one that is due, or was due before and had to wait for the strategy to be settled.
  bool OwesEvaluation(int64_t steps_done) const;
  Status Evaluate(int64_t steps_done);
  // Asked to stop in the evaluation after this step, which a run that goes on makes up for.
  Status StopInEvaluation(int64_t steps_done);
  Status Stopped(int64_t steps_done, const char* where) const;
  Status Checkpoint(int64_t steps_done);
  Status EnqueueStep(int64_t step);
  Status NextBatch(int64_t step);
  Status OutOfMemory(int64_t step, const Status& fault);
  // A fault of the job that does not say itself in which step it came, with when that was for this worker.
  Status SayWhen(const Status& fault, const char* what, int64_t number, const std::string& under_way = "") const;
  // Until no more than `unread` steps are left; sets *stop if a worker was asked to.
  Status ReadResults(size_t unread, bool* stop);
  Status ReadOldest(bool* stop);
  // Of an asynchronous strategy. Collective.
  Status Meet(bool* stop);
  StatusOr<std::vector<StepOutcome>> MeetPeers();
  void Report(const FinishedStep& step, const StepOutcome& outcome);
  void ReportUnreached();
  // Why the run ends after weights were found that are not finite.
  Status WeightsNotFinite(int64_t step);
  // Nobody ends, and takes the job down, before all have read what they end for. Collective.
  void AwaitReaders();
  // OK if the step may be left out, with the sentence that says why; every rank returns the same. Collective, but of an
  // asynchronous strategy.
  Status NotFinite(const PendingStep& step, const StepOutcome& outcome, std::string* sentence);

  const Parts parts_;
  const TrainerOptions options_;
  const bool synchronous_;
  const size_t lag_;  // steps that the host lets the device be behind
  StepClock clock_;
  LoneCommunicator lone_;
  StepResults results_;
  TrainStep step_;
  std::vector<Batch> parts_of_batch_;
  std::deque<PendingStep> pending_;
  std::vector<FinishedStep> finished_;     // since the last meeting
  std::vector<StepOutcome> own_outcomes_;  // theirs, of this worker
  int64_t last_saved_;                     // steps done in the newest checkpoint
  double last_read_ = 0;
  int overflowed_in_a_row_ = 0;
  int not_finite_in_a_row_ = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_TRAINER_H_

// What a worker tells its job of its own time and traffic, with the losses of each step (see StepResults).
//
// A step's waiting for peers is what the communicator's calls took (synchronised norm, the losses' normaliser, the
// exchange of losses) and what the strategy waited for beside them. What comes after the exchange of losses is known
// only then, so a note has the end of the step before and the step itself up to here: all of it, once. What happens
// between steps (an evaluation, a checkpoint) is no step's.
//
// Where the device runs beside the host, the host sees of it what the communicator sees.
#ifndef TRIREME_CORE_TRAIN_STEP_CLOCK_H_
#define TRIREME_CORE_TRAIN_STEP_CLOCK_H_

#include "core/api/communicator.h"
#include "core/api/strategy.h"
#include "core/train/step_results.h"

namespace trireme {

// Used by the worker's thread, in this order in each step: BeginStep, Note any number of times, EndStep, and AddToStep
// if workers meet after it.
class StepClock {
 public:
  // Both outlive the clock. `host_waits`: the device's stream is inline.
  StepClock(const Communicator& communicator, const Strategy& strategy, bool host_waits);

  void BeginStep(double data_wait_seconds);
  WorkerNote Note(bool stop);
  void EndStep();
  // What was done since the step's end is the step's, too.
  void AddToStep();

 private:
  const Communicator& communicator_;
  const Strategy& strategy_;
  const bool host_waits_;
  double data_wait_ = 0;
  double busy_before_ = 0;    // the communicator's clock where the step, or what is left of it, began
  double noted_ = 0;          // of this step, by the last note
  double rest_of_last_ = 0;   // of the step before, after its last note
  double communication_ = 0;  // of the step before
  int64_t sent_before_ = 0, sent_ = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_STEP_CLOCK_H_

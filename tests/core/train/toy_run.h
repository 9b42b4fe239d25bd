// Training runs of the toy detector (see toy_training.h), as one call: what a test asks for, and what came of it.
#ifndef TRIREME_TESTS_CORE_TRAIN_TOY_RUN_H_
#define TRIREME_TESTS_CORE_TRAIN_TOY_RUN_H_

#include <atomic>
#include <string>
#include <vector>

#include "core/train/trainer.h"
#include "tests/core/testing/async_device.h"
#include "tests/core/testing/toy_training.h"

namespace trireme::testing {

class Notes : public TrainObserver {
 public:
  void OnUnreached(const std::vector<std::string>& parameters) override { unreached = parameters; }
  void OnStep(const StepReport& report) override {
    steps.push_back(report);
    if (report.step + 1 == stop_after && stop != nullptr) *stop = true;
  }
  void OnEvaluation(int64_t done, const EvaluationReport& report) override {
    events.push_back(absl::StrCat("evaluation ", done, " ", report[0].first));
  }
  void OnCheckpoint(int64_t done) override { events.push_back(absl::StrCat("checkpoint ", done)); }

  std::vector<StepReport> steps;
  std::vector<std::string> unreached;
  std::vector<std::string> events;
  int64_t stop_after = -1;
  std::atomic<bool>* stop = nullptr;
};

struct Plan {
  int world_size = 1;
  TrainerOptions options;
  ToyBatchOptions batches;    // `bad_step` and `huge_step` are the last rank's alone
  uint64_t asynchronous = 0;  // the seed of an asynchronous device; 0: `device`
  std::string device = "cpu";
  bool can_capture = true;      // of an asynchronous device
  std::string spoils;           // a parameter, or the last rank's buffer, that is no number
  int64_t spoils_from = 0;      // from this step on
  int64_t fails_at = 0;         // of the last rank's asynchronous device: see AsyncDeviceOptions
  bool recovers = false;        // likewise
  bool inspects_share = false;  // see ToyStrategy
  int64_t meets_every = 0;      // see ToyStrategy
  int64_t settles_every = 1;    // see ToyStrategy
  bool reads_back = false;      // the detector reads its losses on the host
  StepGuardOptions guard;       // losses are scaled in FP16 alone
  std::string run_folder;       // empty: nothing is saved
  std::string resume;           // a checkpoint
  int64_t stop_after = -1;      // the flag of the last rank is set after this step is reported
  Status evaluation;
  bool evaluate = true;
};

struct Outcome {
  std::vector<Status> statuses;
  std::vector<std::vector<float>> values;      // by rank: parameters, momentum and buffers
  std::vector<std::vector<float>> parameters;  // by rank
  Notes notes;
  std::vector<int> ready;
  std::vector<std::vector<float>> scales;         // by rank: the guard's state
  std::vector<int64_t> settled_after, met_after;  // see ToyStrategy; rank 0's
  int num_recorded = 0;
  std::vector<AsyncLogEntry> log;  // of rank 0's device, while it trained
  int64_t calls = 0;               // that the last rank made of its asynchronous device until the trainer returned
  int64_t bytes_left = 0;          // of asynchronous devices, not freed when all of a worker but its device was gone
};

Plan Steps(int64_t total, int world_size = 1);
Outcome Train(const Plan& plan);

// What one worker of the run does, for a test that has devices and communicators of its own: its part of `outcome`,
// which `Empty` makes, and the trainer's status. May throw DeviceError.
Outcome Empty(const Plan& plan);
Status TrainOn(const Plan& plan, Device& device, Communicator& communicator, const std::atomic<bool>* stop,
               Outcome* outcome);

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TRAIN_TOY_RUN_H_

// What a step tells the host: every worker's losses, whether one was asked to stop or has weights that are not finite,
// and how long each has waited.
//
// Each worker writes a row, and one all-gather gives all rows to all workers, on the device; they are then copied to a
// buffer of the host's. Nothing of this makes the host wait: results are read when the host wants them, which on a
// device that runs beside it is a step later. All ranks see the same rows, so they come to the same conclusions.
#ifndef TRIREME_CORE_TRAIN_STEP_RESULTS_H_
#define TRIREME_CORE_TRAIN_STEP_RESULTS_H_

#include <memory>
#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/detector.h"
#include "core/tensor/tensor.h"
#include "core/train/step_guard.h"

namespace trireme {

// What the host of a worker adds to its row; see StepClock.
struct WorkerNote {
  bool stop = false;
  double data_wait_seconds = 0;
  double peer_wait_seconds = 0;
  // Of the step before.
  double communication_seconds = 0;
  int64_t bytes_sent = 0;
};

// Of one step, as all ranks see it.
struct StepOutcome {
  std::vector<std::string> loss_names;
  std::vector<std::vector<float>> losses;  // [worker][loss]
  std::vector<WorkerNote> notes;           // [worker]
  bool weights_finite = true;              // as far as any worker has seen before the step
  bool applied = true;                     // the update was not skipped
  double loss_scale = 1;
  double gradient_norm = 0;  // before clipping; 0 where it is not known
};

class StepResults {
 public:
  // Outlive the results, and belong to this worker.
  StepResults(Device& device, Communicator& communicator);
  // Waits for copies to the host that are under way.
  ~StepResults();

  // Writes this worker's note, by a kernel whose arguments are its values: not part of a recorded step.
  void Note(const WorkerNote& note, Stream& stream);

  // What follows is part of a step, and may be recorded. The losses have the same names in every step, and the first
  // step, which learns them, may not be recorded.
  //
  // This worker's losses, times `weight`, are those of the step, or with `first` false are added to them.
  Status AddLosses(const NamedLosses& losses, float weight, bool first, Stream& stream);
  // `odd_weights` int32 [1]: not 0 where this worker has seen weights that are not finite.
  Status Gather(const Tensor& odd_weights, Stream& stream);
  // After Gather: float32 [workers, n]; the losses of each begin at column first_loss().
  const Tensor& rows() const { return rows_; }
  static int64_t first_loss() { return kNoteSize + 1; }
  // After the update.
  void Summarise(const StepGuard& guard, Stream& stream) const { guard.WriteSummary(summary_, stream); }

  // Enqueues the copy to the host. At most kSlots steps may be sent and not read.
  static constexpr int kSlots = 2;
  void Send(Stream& stream);
  // Waits for the oldest step that was sent and not read. May throw DeviceError.
  StepOutcome Read();
  int64_t num_unread() const { return num_sent_ - num_read_; }

 private:
  static constexpr int64_t kNoteSize = 5;
  struct Slot {
    std::shared_ptr<void> host;
    std::unique_ptr<Event> copied;
  };
  Status Allocate(const NamedLosses& losses);

  Device& device_;
  Communicator& communicator_;
  std::vector<std::string> loss_names_;
  Tensor note_;
  Tensor all_;   // rows_, and summary_ behind them: one copy
  Tensor rows_;  // views of all_
  Tensor summary_;
  Slot slots_[kSlots];
  int64_t num_sent_ = 0;
  int64_t num_read_ = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_STEP_RESULTS_H_

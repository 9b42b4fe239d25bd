#include "core/train/step_clock.h"

namespace trireme {

StepClock::StepClock(const Communicator& communicator, const Strategy& strategy, bool host_waits)
    : communicator_(communicator),
      strategy_(strategy),
      host_waits_(host_waits),
      busy_before_(communicator.busy_seconds()) {}

void StepClock::BeginStep(double data_wait_seconds) {
  data_wait_ = data_wait_seconds;
  noted_ = 0;
  sent_before_ = communicator_.bytes_sent();
  if (host_waits_) busy_before_ = communicator_.busy_seconds();
}

WorkerNote StepClock::Note(bool stop) {
  noted_ = communicator_.busy_seconds() - busy_before_;
  WorkerNote note;
  note.stop = stop;
  note.data_wait_seconds = data_wait_;
  note.peer_wait_seconds = rest_of_last_ + noted_;
  note.communication_seconds = communication_;
  note.bytes_sent = sent_;
  return note;
}

void StepClock::EndStep() {
  const double busy = communicator_.busy_seconds();
  rest_of_last_ = strategy_.exposed_communication_seconds();
  if (host_waits_) rest_of_last_ += busy - busy_before_ - noted_;
  busy_before_ = busy;
  communication_ = strategy_.communication_seconds();
  sent_ = communicator_.bytes_sent() - sent_before_;
}

void StepClock::AddToStep() {
  communication_ = strategy_.communication_seconds();
  sent_ = communicator_.bytes_sent() - sent_before_;
  // Where the host does not wait, the next note tells it anyway.
  if (!host_waits_) return;
  const double busy = communicator_.busy_seconds();
  rest_of_last_ += busy - busy_before_;
  busy_before_ = busy;
}

}  // namespace trireme

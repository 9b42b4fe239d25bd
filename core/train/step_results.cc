#include "core/train/step_results.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "core/base/trace.h"
#include "core/device/parallel_for.h"

namespace trireme {
namespace {

struct NoteValues {
  float stop, data_wait, peer_wait, communication, bytes_sent;
};

void WriteNote(const NoteValues& values, float* to, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    to[0] = values.stop;
    to[1] = values.data_wait;
    to[2] = values.peer_wait;
    to[3] = values.communication;
    to[4] = values.bytes_sent;
  });
}

void WriteFlag(const int32_t* flag, float* to, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { to[0] = static_cast<float>(flag[0]); });
}

void AddLoss(const float* loss, float weight, bool first, float* sum, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { sum[0] = first ? weight * loss[0] : sum[0] + weight * loss[0]; });
}

}  // namespace

StepResults::StepResults(Device& device, Communicator& communicator)
    : device_(device), communicator_(communicator), note_(Tensor::Zeros(device, {kNoteSize})) {
  for (Slot& slot : slots_) slot.copied = device.NewEvent();
}

StepResults::~StepResults() {
  while (num_unread() > 0) {
    Event& copied = *slots_[num_read_++ % kSlots].copied;
    CatchDeviceError([&] {
      copied.Synchronize();
      return absl::OkStatus();
    }).IgnoreError();  // it has ended the run already
  }
}

void StepResults::Note(const WorkerNote& note, Stream& stream) {
  NoteValues values;
  values.stop = note.stop ? 1.0f : 0.0f;
  values.data_wait = static_cast<float>(note.data_wait_seconds);
  values.peer_wait = static_cast<float>(note.peer_wait_seconds);
  values.communication = static_cast<float>(note.communication_seconds);
  values.bytes_sent = static_cast<float>(note.bytes_sent);
  WriteNote(values, note_.data<float>(), stream);
}

Status StepResults::Allocate(const NamedLosses& losses) {
  if (losses.empty()) return absl::InvalidArgumentError("the detector has no loss");
  for (const auto& [name, loss] : losses) loss_names_.push_back(name);
  const int64_t world = communicator_.size(), columns = first_loss() + static_cast<int64_t>(losses.size());
  all_ = Tensor::Zeros(device_, {world * columns + StepGuard::kSummarySize});
  rows_ = all_.Flat(0, world * columns).Reshape({world, columns});
  summary_ = all_.Flat(world * columns, all_.size());
  for (Slot& slot : slots_) slot.host = device_.NewHostBuffer(static_cast<size_t>(all_.bytes()));
  return absl::OkStatus();
}

Status StepResults::AddLosses(const NamedLosses& losses, float weight, bool first, Stream& stream) {
  if (!all_.defined()) TRIREME_RETURN_IF_ERROR(Allocate(losses));
  bool same = losses.size() == loss_names_.size();
  for (size_t i = 0; same && i < losses.size(); ++i) same = losses[i].first == loss_names_[i];
  if (!same) {
    return absl::InternalError(absl::StrCat("the detector's losses were ", absl::StrJoin(loss_names_, ", "),
                                            " in the first step, and are others now"));
  }
  float* mine = rows_.data<float>() + communicator_.rank() * rows_.dim(1) + first_loss();
  for (size_t i = 0; i < losses.size(); ++i) {
    AddLoss(losses[i].second.value().data<float>(), weight, first, mine + i, stream);
  }
  return absl::OkStatus();
}

Status StepResults::Gather(const Tensor& odd_weights, Stream& stream) {
  const Tensor mine = rows_.Slice(communicator_.rank(), communicator_.rank() + 1);
  mine.Flat(0, kNoteSize).CopyFrom(note_, stream);
  WriteFlag(odd_weights.data<int32_t>(), mine.data<float>() + kNoteSize, stream);
  if (communicator_.size() == 1) return absl::OkStatus();
  return communicator_.AllGather(rows_, stream);
}

void StepResults::Send(Stream& stream) {
  CHECK_LT(num_unread(), kSlots);
  Slot& slot = slots_[num_sent_++ % kSlots];
  device_.Copy(slot.host.get(), all_.raw(), static_cast<size_t>(all_.bytes()), stream);
  stream.Record(*slot.copied);
}

StepOutcome StepResults::Read() {
  CHECK_GT(num_unread(), 0);
  Slot& slot = slots_[num_read_++ % kSlots];
  {
    const TraceSpan span(TraceKind::kWait, "wait for the step's results");
    slot.copied->Synchronize();
  }
  const float* values = static_cast<const float*>(slot.host.get());
  StepOutcome outcome;
  outcome.loss_names = loss_names_;
  const int64_t columns = rows_.dim(1);
  for (int64_t worker = 0; worker < rows_.dim(0); ++worker) {
    const float* row = values + worker * columns;
    outcome.notes.push_back({row[0] != 0, row[1], row[2], row[3], static_cast<int64_t>(row[4])});
    outcome.weights_finite = outcome.weights_finite && row[kNoteSize] == 0;
    outcome.losses.emplace_back(row + first_loss(), row + columns);
  }
  const float* summary = values + rows_.size();
  outcome.applied = summary[0] != 0;
  outcome.loss_scale = summary[1];
  outcome.gradient_norm = summary[2];
  return outcome;
}

}  // namespace trireme

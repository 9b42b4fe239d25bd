#include "core/train/train_step.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "core/device/stream_span.h"

namespace trireme {
namespace {

// What the host does, and what a device does that runs beside it.
class Phase {
 public:
  Phase(TraceKind kind, const char* name, Stream& stream) : host_(kind, name) {
    if (!stream.is_inline()) device_.emplace(stream, kind, name);
  }

 private:
  const TraceSpan host_;
  std::optional<StreamSpan> device_;
};

}  // namespace

TrainStep::TrainStep(const Parts& parts, StepResults* results, const TrainStepOptions& options)
    : parts_(parts),
      results_(*results),
      options_(options),
      may_record_(options.may_record && parts.device->can_capture() && parts.communicator->can_capture() &&
                  parts.strategy->can_capture()),
      parameters_(parts.arena->Vars()) {}

TrainStep::~TrainStep() {
  for (Recording& recording : recordings_) {
    CatchDeviceError([&] {
      ForgetRecording(&recording);
      return absl::OkStatus();
    }).IgnoreError();  // it has ended the run already
  }
}

Status TrainStep::Run(int64_t step, float learning_rate, const Batch& batch, const std::function<WorkerNote()>& note) {
  Stream& stream = parts_.device->compute_stream();
  parts_.optimizer->BeginStep(step, learning_rate, stream);
  parts_.strategy->BeginStep(step);
  results_.Note(note(), stream);
  TRIREME_RETURN_IF_ERROR(EnqueueOrLaunch(step, batch, note));
  results_.Send(stream);
  return absl::OkStatus();
}

Status TrainStep::EnqueueOrLaunch(int64_t step, const Batch& batch, const std::function<WorkerNote()>& note) {
  if (!may_record_) return Enqueue(step, batch, note);
  Recording& recording = FindRecording(batch);
  if (recording.steps_before < kStepsBeforeRecording) {
    ++recording.steps_before;
    return Enqueue(step, batch, note);
  }
  const std::array<const void*, 4> addresses = {batch.images.raw(), batch.boxes.raw(), batch.labels.raw(),
                                                batch.random_keys.defined() ? batch.random_keys.raw() : nullptr};
  if (recording.graph != nullptr && addresses != recording.addresses) {
    ForgetRecording(&recording);
  }
  if (recording.graph == nullptr) {
    TRIREME_RETURN_IF_ERROR(Record(step, batch, &recording));
    recording.addresses = addresses;
  }
  const TraceSpan span(TraceKind::kStep, "launch the recorded step");
  recording.graph->Launch();
  return absl::OkStatus();
}

TrainStep::Recording& TrainStep::FindRecording(const Batch& batch) {
  for (Recording& recording : recordings_) {
    if (recording.images == batch.images.shape() && recording.boxes == batch.boxes.shape()) return recording;
  }
  recordings_.emplace_back();
  recordings_.back().images = batch.images.shape();
  recordings_.back().boxes = batch.boxes.shape();
  return recordings_.back();
}

Status TrainStep::Record(int64_t step, const Batch& batch, Recording* recording) {
  Device& device = *parts_.device;
  device.BeginCapture();
  const Status status = CatchDeviceError([&]() -> Status {
    TRIREME_RETURN_IF_ERROR(Enqueue(step, batch, nullptr));
    recording->graph = device.EndCapture();
    return absl::OkStatus();
  });
  if (status.ok()) {
    ++num_recorded_;
    return status;
  }
  device.AbandonCapture();
  return Annotate(status, absl::StrCat("step ", step, " cannot be recorded (`record_steps: NEVER` trains without)"));
}

void TrainStep::ForgetRecording(Recording* recording) {
  if (recording->graph == nullptr) return;
  // Its memory goes back with it.
  parts_.device->compute_stream().Synchronize();
  recording->graph.reset();
}

Status TrainStep::Enqueue(int64_t step, const Batch& batch, const std::function<WorkerNote()>& note) {
  Device& device = *parts_.device;
  Stream& stream = device.compute_stream();
  Tape tape(parameters_, parts_.strategy);
  Context context(device);
  context.tape = &tape;
  context.training = true;
  context.precision = options_.precision;
  context.communicator = parts_.communicator;
  context.seed = options_.seed;
  context.step = step;

  NamedLosses losses;
  {
    const Phase phase(TraceKind::kForward, "forward", stream);
    TRIREME_ASSIGN_OR_RETURN(losses, parts_.detector->Loss(context, batch));
  }
  {
    const Phase phase(TraceKind::kBackward, "backward", stream);
    std::vector<Var> scalars;
    for (const auto& [name, loss] : losses) scalars.push_back(loss);
    tape.Backward(scalars, stream, parts_.guard->loss_scale());
  }
  const Phase phase(TraceKind::kUpdate, "finish and update", stream);
  if (note && stream.is_inline()) results_.Note(note(), stream);
  TRIREME_RETURN_IF_ERROR(results_.Gather(losses, stream));
  parts_.guard->InspectLosses(results_.rows(), StepResults::first_loss(), stream);
  TRIREME_RETURN_IF_ERROR(parts_.strategy->Step(*parts_.guard));
  parts_.arena->RefreshRounded();
  results_.Summarise(*parts_.guard, stream);
  return absl::OkStatus();
}

}  // namespace trireme

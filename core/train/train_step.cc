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

Status CheckLosses(const NamedLosses& losses) {
  for (const auto& [name, loss] : losses) {
    const auto refuse = [&name = name](const auto&... what) {
      return absl::InternalError(absl::StrCat("the detector's loss \"", name, "\" ", what...));
    };
    if (!loss.defined()) return refuse("is undefined");
    if (loss.value().size() != 1 || loss.value().type() != DataType::kFloat32) {
      return refuse("is ", DataTypeName(loss.value().type()), " ", loss.shape().ToString(),
                    "; a loss is one number of float32");
    }
  }
  return absl::OkStatus();
}

}  // namespace

TrainStep::TrainStep(const Parts& parts, StepResults* results, const TrainStepOptions& options)
    : parts_(parts),
      results_(*results),
      weights_(*parts.arena),
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

Status TrainStep::Run(int64_t step, float learning_rate, const std::vector<Batch>& parts,
                      const std::function<WorkerNote()>& note) {
  Stream& stream = parts_.device->compute_stream();
  if (!parts_.strategy->begins_updates()) parts_.optimizer->BeginStep(step, learning_rate, stream);
  parts_.strategy->BeginStep(step);
  if (parts_.average != nullptr) parts_.average->BeginStep(step, stream);
  results_.Note(note(), stream);
  TRIREME_RETURN_IF_ERROR(EnqueueOrLaunch(step, parts, note));
  results_.Send(stream);
  return absl::OkStatus();
}

Status TrainStep::EnqueueOrLaunch(int64_t step, const std::vector<Batch>& parts,
                                  const std::function<WorkerNote()>& note) {
  if (!may_record_) return Enqueue(step, parts, note);
  Recording& recording = FindRecording(parts[0]);
  if (recording.steps_before < kStepsBeforeRecording) {
    ++recording.steps_before;
    return Enqueue(step, parts, note);
  }
  std::vector<const void*> addresses;
  for (const Batch& part : parts) {
    for (const Tensor* tensor : {&part.images, &part.boxes, &part.labels, &part.random_keys, &part.image_sizes}) {
      addresses.push_back(tensor->defined() ? tensor->raw() : nullptr);
    }
  }
  if (recording.graph != nullptr && addresses != recording.addresses) ForgetRecording(&recording);
  if (recording.graph == nullptr) {
    TRIREME_RETURN_IF_ERROR(Record(step, parts, &recording));
    recording.addresses = std::move(addresses);
  }
  const TraceSpan span(TraceKind::kStep, "launch the recorded step");
  recording.graph->Launch();
  return absl::OkStatus();
}

TrainStep::Recording& TrainStep::FindRecording(const Batch& part) {
  for (Recording& recording : recordings_) {
    if (recording.images == part.images.shape() && recording.boxes == part.boxes.shape()) return recording;
  }
  recordings_.emplace_back();
  recordings_.back().images = part.images.shape();
  recordings_.back().boxes = part.boxes.shape();
  return recordings_.back();
}

Status TrainStep::Record(int64_t step, const std::vector<Batch>& parts, Recording* recording) {
  Device& device = *parts_.device;
  device.BeginCapture();
  const Status status = CatchDeviceError([&]() -> Status {
    TRIREME_RETURN_IF_ERROR(Enqueue(step, parts, nullptr));
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

Status TrainStep::Enqueue(int64_t step, const std::vector<Batch>& parts, const std::function<WorkerNote()>& note) {
  Stream& stream = parts_.device->compute_stream();
  const Tensor& buffers = parts_.arena->buffer_values();
  parts_.guard->KeepBuffers(buffers, stream);
  for (size_t part = 0; part < parts.size(); ++part) TRIREME_RETURN_IF_ERROR(EnqueuePart(step, parts, part));
  const Phase phase(TraceKind::kUpdate, "finish and update", stream);
  if (note && stream.is_inline()) results_.Note(note(), stream);
  TRIREME_RETURN_IF_ERROR(results_.Gather(weights_.found(), stream));
  parts_.guard->InspectLosses(results_.rows(), StepResults::first_loss(), stream);
  TRIREME_RETURN_IF_ERROR(parts_.strategy->Step(*parts_.guard));
  parts_.guard->RestoreBuffersIfLeftOut(buffers, stream);
  if (parts_.average != nullptr) parts_.average->Update(parts_.guard->control(), stream);
  parts_.arena->RefreshRounded();
  weights_.Look(stream);
  results_.Summarise(*parts_.guard, stream);
  return absl::OkStatus();
}

Status TrainStep::EnqueuePart(int64_t step, const std::vector<Batch>& parts, size_t part) {
  const bool first = part == 0, last = part + 1 == parts.size();
  Device& device = *parts_.device;
  Stream& stream = device.compute_stream();
  // Gradients are complete with the last part.
  Tape tape(parameters_, last ? parts_.strategy : nullptr);
  Context context(device);
  context.tape = &tape;
  context.training = true;
  context.precision = options_.precision;
  // An asynchronous worker's images are its batch: losses and norm are theirs alone.
  context.communicator = parts_.strategy->synchronous() ? parts_.communicator : nullptr;
  context.seed = options_.seed;
  context.step = step * static_cast<int64_t>(parts.size()) + static_cast<int64_t>(part);

  NamedLosses losses;
  {
    const Phase phase(TraceKind::kForward, "forward", stream);
    TRIREME_ASSIGN_OR_RETURN(losses, parts_.detector->Loss(context, parts[part]));
    TRIREME_RETURN_IF_ERROR(CheckLosses(losses));
  }
  const Phase phase(TraceKind::kBackward, "backward", stream);
  std::vector<Var> scalars;
  for (const auto& [name, loss] : losses) scalars.push_back(loss);
  BackwardOptions backward;
  backward.scale = parts_.guard->loss_scale();
  backward.weight = 1.0f / static_cast<float>(parts.size());
  backward.add = !first;
  tape.Backward(scalars, stream, backward);
  if (is_first_) unreached_ = tape.unreached();
  is_first_ = false;
  return results_.AddLosses(losses, backward.weight, first, stream);
}

}  // namespace trireme

#include "tests/core/train/toy_run.h"

#include <cmath>

#include "core/api/lone_communicator.h"
#include "core/train/checkpoint.h"
#include "core/train/weights.h"
#include "tests/core/testing/fake_job.h"

namespace trireme::testing {
namespace {

// What no step may do.
class ReadingDetector : public ToyDetector {
 public:
  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override {
    TRIREME_ASSIGN_OR_RETURN(NamedLosses losses, ToyDetector::Loss(context, batch));
    losses[0].second.value().ToVector<float>();
    return losses;
  }
};

// A parameter or a buffer; undefined if there is none of this name.
Tensor Find(const ParameterArena& arena, const std::string& name) {
  for (const Parameter* parameter : arena.parameters()) {
    if (parameter->name == name) return parameter->value();
  }
  for (const Buffer* buffer : arena.buffers()) {
    if (buffer->name == name) return buffer->value;
  }
  return Tensor();
}

StatusOr<std::unique_ptr<Device>> NewDevice(const Plan& plan, int rank) {
  if (plan.asynchronous == 0) return MakeDevice(plan.device, 1);
  AsyncDeviceOptions options;
  options.seed = plan.asynchronous + 100 * static_cast<uint64_t>(rank);
  options.record = rank == 0;
  options.can_capture = plan.can_capture;
  if (rank == plan.world_size - 1) {
    options.fails_at = plan.fails_at;
    options.recovers = plan.recovers;
  }
  return std::unique_ptr<Device>(MakeAsyncDevice(options));
}

}  // namespace

Status TrainOn(const Plan& plan, Device& device, Communicator& communicator, const std::atomic<bool>* stop,
               Outcome* outcome) {
  const int rank = communicator.rank();
  const bool last = rank == plan.world_size - 1;
  const std::unique_ptr<ToyDetector> detector =
      plan.reads_back ? std::make_unique<ReadingDetector>() : std::make_unique<ToyDetector>();
  const Precision precision = plan.options.step.precision;
  TRIREME_ASSIGN_OR_RETURN(
      const auto arena, ParameterArena::Build(detector.get(), device, plan.world_size, 3, ActivationType(precision)));
  ToyOptimizer optimizer;
  StepGuardOptions of_guard = plan.guard;
  of_guard.loss_scale.enabled = precision == Precision::kFloat16;
  LoneCommunicator alone;
  StepGuard guard(*arena, plan.meets_every > 0 ? static_cast<Communicator&>(alone) : communicator, of_guard);
  ToySchedule schedule;
  ToyStrategy strategy({arena.get(), &optimizer, &communicator, &schedule}, plan.inspects_share, plan.settles_every,
                       plan.meets_every);
  CheckpointParts checkpoint_parts = {arena.get(), &optimizer, &strategy, {}};
  if (of_guard.loss_scale.enabled) checkpoint_parts.run_state = {{"loss_scale", guard.state()}};
  if (!plan.resume.empty()) TRIREME_RETURN_IF_ERROR(LoadWeights(ModelFile(plan.resume), arena.get()));
  TRIREME_RETURN_IF_ERROR(strategy.Setup());
  if (!plan.resume.empty()) TRIREME_RETURN_IF_ERROR(LoadTrainingState(plan.resume, rank, checkpoint_parts));
  ToyBatchOptions of_batches = plan.batches;
  if (!last) of_batches.bad_step = of_batches.bad_until = of_batches.huge_step = -1;
  const Tensor spoilt = last || plan.spoils != "seen" ? Find(*arena, plan.spoils) : Tensor();
  if (spoilt.defined()) {
    of_batches.before = [&](int64_t step) {
      float* const value = spoilt.data<float>();
      if (step == plan.spoils_from) device.compute_stream().Enqueue([value] { *value = NAN; });
      return absl::OkStatus();
    };
  }
  ToyBatches batches(device, rank, of_batches);

  Trainer::Parts parts;
  parts.device = &device;
  parts.communicator = &communicator;
  parts.detector = detector.get();
  parts.arena = arena.get();
  parts.optimizer = &optimizer;
  parts.schedule = &schedule;
  parts.strategy = &strategy;
  parts.guard = &guard;
  parts.batches = &batches;
  parts.observer = rank == 0 ? &outcome->notes : nullptr;
  parts.stop_requested = last ? stop : nullptr;
  if (plan.evaluate) {
    parts.evaluate = [&](int64_t) -> StatusOr<EvaluationReport> {
      if (!plan.evaluation.ok()) return plan.evaluation;
      return EvaluationReport{{"mAP50", 0.5}};
    };
  }
  parts.save_checkpoint = [&](int64_t done) -> Status {
    if (plan.run_folder.empty()) return absl::OkStatus();
    CheckpointInfo info;
    info.step = done;
    info.world_size = plan.world_size;
    return SaveCheckpoint(plan.run_folder, 2, info, checkpoint_parts, communicator);
  };
  auto* const asynchronous = dynamic_cast<AsyncDevice*>(&device);
  if (asynchronous != nullptr) asynchronous->ClearLog();
  Status status;
  {
    Trainer trainer(parts, plan.options);
    status = trainer.Run();
    if (rank == 0) outcome->num_recorded = trainer.step().num_recorded();
    if (rank == 0 && asynchronous != nullptr) outcome->log = asynchronous->log();
    if (last && asynchronous != nullptr) outcome->calls = asynchronous->calls();
  }
  if (status.code() == absl::StatusCode::kUnavailable) return status;  // there is nothing to be read
  outcome->parameters[rank] = arena->values().ToVector<float>();
  outcome->scales[rank] = guard.state().ToVector<float>();
  for (const Tensor& tensor : {arena->values(), optimizer.State()[0].values, arena->buffer_values()}) {
    const std::vector<float> values = tensor.ToVector<float>();
    outcome->values[rank].insert(outcome->values[rank].end(), values.begin(), values.end());
  }
  if (rank == 0) {
    outcome->ready = strategy.ready();
    outcome->settled_after = strategy.settled_after();
    outcome->met_after = strategy.met_after();
  }
  return status;
}

Outcome Empty(const Plan& plan) {
  Outcome outcome;
  outcome.values.resize(plan.world_size);
  outcome.parameters.resize(plan.world_size);
  outcome.scales.resize(plan.world_size);
  return outcome;
}

Outcome Train(const Plan& plan) {
  Outcome outcome = Empty(plan);
  std::atomic<bool> asked{false};
  std::atomic<int64_t> bytes_left{0};
  outcome.notes.stop = &asked;
  outcome.notes.stop_after = plan.stop_after;
  outcome.statuses = RunFakeJob(plan.world_size, [&](Communicator& communicator) -> Status {
    TRIREME_ASSIGN_OR_RETURN(const auto device, NewDevice(plan, communicator.rank()));
    const Status status = CatchDeviceError([&] {
      device->BindToThisThread();
      return TrainOn(plan, *device, communicator, &asked, &outcome);
    });
    if (auto* const asynchronous = dynamic_cast<AsyncDevice*>(device.get())) {
      // What is still enqueued holds tensors.
      CatchDeviceError([&] {
        asynchronous->Drain();
        return absl::OkStatus();
      }).IgnoreError();
    }
    for (const int64_t bytes : device->memory().in_use) bytes_left += bytes;
    return status;
  });
  outcome.notes.stop = nullptr;
  outcome.bytes_left = bytes_left;
  return outcome;
}

Plan Steps(int64_t total, int world_size) {
  Plan plan;
  plan.world_size = world_size;
  plan.options.total_steps = total;
  return plan;
}

}  // namespace trireme::testing

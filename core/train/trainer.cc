#include "core/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_join.h"

namespace trireme {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Trainer::Trainer(const Parts& parts, const TrainerOptions& options) : parts_(parts), options_(options) {}

Status Trainer::Run() {
  const Status status = CatchDeviceError([&] { return RunLoop(); });
  // Peers that wait for this worker learn why it is gone. A clean stop is agreed by all.
  if (!status.ok() && status.code() != absl::StatusCode::kCancelled) parts_.communicator->Abort(status);
  return status;
}

Status Trainer::RunLoop() {
  // A run that ended between a checkpoint and its evaluation makes up for it.
  if (options_.first_step > 0) TRIREME_RETURN_IF_ERROR(EvaluateIfDue(options_.first_step));
  for (int64_t step = options_.first_step; step < options_.total_steps; ++step) {
    StepReport report;
    bool stop = false;
    TRIREME_RETURN_IF_ERROR(TrainStep(step, &report, &stop));
    if (parts_.observer != nullptr) parts_.observer->OnStep(report);
    const int64_t done = step + 1;
    const bool last = done == options_.total_steps;
    const bool periodic = options_.checkpoint_every > 0 && done % options_.checkpoint_every == 0;
    if (last || periodic || stop) {
      TRIREME_RETURN_IF_ERROR(parts_.save_checkpoint(done));
      if (parts_.observer != nullptr) parts_.observer->OnCheckpoint(done);
    }
    if (stop && !last) {
      return absl::CancelledError(absl::StrCat("stopped after step ", done, " of ", options_.total_steps,
                                               "; the checkpoint is saved, --resume goes on from it"));
    }
    TRIREME_RETURN_IF_ERROR(EvaluateIfDue(done));
  }
  return absl::OkStatus();
}

Status Trainer::EvaluateIfDue(int64_t steps_done) {
  const bool periodic = options_.evaluate_every > 0 && steps_done % options_.evaluate_every == 0;
  if (!parts_.evaluate || (steps_done < options_.total_steps && !periodic)) return absl::OkStatus();
  TRIREME_ASSIGN_OR_RETURN(const EvaluationReport evaluation, parts_.evaluate(steps_done));
  if (parts_.observer != nullptr) parts_.observer->OnEvaluation(steps_done, evaluation);
  return absl::OkStatus();
}

Status Trainer::TrainStep(int64_t step, StepReport* report, bool* stop) {
  const double start = Now();
  const double data_before = parts_.batches->wait_seconds();
  const double peers_before = parts_.communicator->busy_seconds();
  report->step = step;
  report->learning_rate = parts_.schedule->LearningRate(step);

  Batch batch;
  TRIREME_RETURN_IF_ERROR(parts_.batches->Next(step, &batch));

  Tape tape(parts_.arena->Vars(), parts_.strategy);
  Context context(*parts_.device);
  context.tape = &tape;
  context.training = true;
  context.communicator = parts_.communicator;
  context.seed = options_.seed;
  context.step = step;

  parts_.optimizer->BeginStep(step, static_cast<float>(report->learning_rate), context.stream());
  parts_.strategy->BeginStep(step);
  TRIREME_ASSIGN_OR_RETURN(const NamedLosses losses, parts_.detector->Loss(context, batch));
  std::vector<Var> scalars;
  for (const auto& [name, loss] : losses) {
    report->losses.emplace_back(name, 0.0);
    scalars.push_back(loss);
  }
  tape.Backward(scalars, context.stream());
  for (size_t i = 0; i < scalars.size(); ++i) report->losses[i].second = scalars[i].value().ToVector<float>()[0];

  const double data_wait = parts_.batches->wait_seconds() - data_before;
  const double peer_wait = parts_.communicator->busy_seconds() - peers_before;
  TRIREME_RETURN_IF_ERROR(ShareStep(step, batch.image_ids, data_wait, peer_wait, report, stop));

  NoGuard guard;
  TRIREME_RETURN_IF_ERROR(parts_.strategy->Step(guard));
  report->peer_wait_seconds += parts_.strategy->exposed_communication_seconds();
  report->seconds = Now() - start;
  return absl::OkStatus();
}

Status Trainer::ShareStep(int64_t step, const std::vector<int64_t>& image_ids, double data_wait, double peer_wait,
                          StepReport* report, bool* stop) {
  Communicator& communicator = *parts_.communicator;
  Stream& stream = parts_.device->compute_stream();
  const size_t count = report->losses.size();
  // Which worker's loss is not finite is lost in a sum, so each speaks for itself.
  for (const auto& [name, value] : report->losses) {
    if (!std::isfinite(value)) {
      return absl::InternalError(absl::StrCat("step ", step, ", rank ", communicator.rank(), ": the loss ", name,
                                              " is ", value, " (images ", absl::StrJoin(image_ids, ", "),
                                              "); the weights are still those of the step before: lower the learning "
                                              "rate, or look at these images"));
    }
  }
  const bool asked = parts_.stop_requested != nullptr && parts_.stop_requested->load();
  std::vector<float> sums;
  for (const auto& [name, value] : report->losses) sums.push_back(static_cast<float>(value));
  sums.push_back(asked ? 1.0f : 0.0f);
  std::vector<float> longest = {static_cast<float>(data_wait), static_cast<float>(peer_wait)};
  if (communicator.size() > 1) {
    Tensor sum = Tensor::From(*parts_.device, {static_cast<int64_t>(sums.size())}, sums);
    TRIREME_RETURN_IF_ERROR(communicator.AllReduce(sum, ReduceOperation::kSum, stream));
    Tensor maximum = Tensor::From(*parts_.device, {2}, longest);
    TRIREME_RETURN_IF_ERROR(communicator.AllReduce(maximum, ReduceOperation::kMax, stream));
    sums = sum.ToVector<float>();
    longest = maximum.ToVector<float>();
    TRIREME_RETURN_IF_ERROR(communicator.status());
  }
  report->loss = 0;
  for (size_t i = 0; i < count; ++i) {
    report->losses[i].second = sums[i];
    report->loss += sums[i];
  }
  *stop = sums[count] > 0;
  report->data_wait_seconds = longest[0];
  report->peer_wait_seconds = longest[1];
  return absl::OkStatus();
}

}  // namespace trireme

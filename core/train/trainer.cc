#include "core/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "core/base/catch_exceptions.h"
#include "core/base/clock.h"
#include "core/base/trace.h"
#include "core/train/agreement.h"
#include "core/train/find_not_finite.h"
#include "core/train/meeting.h"
#include "core/train/memory_advice.h"

namespace trireme {
namespace {

// From 2^16, a scale that was halved so often is under the smallest number of float16: it is not the scale's fault.
constexpr int kMostOverflowedInARow = 40;

// Where weights are lost.
constexpr char kGoOn[] =
    ": go on from the last checkpoint (--resume) at a lower rate, with clip_gradient_norm, or with not_finite: SKIP";

constexpr char kSameWeights[] =
    "a strategy leaves the same values in every worker's arena (core/api/strategy.h: synchronous, Settle)";

bool HasOddLoss(const StepOutcome& outcome) {
  for (const std::vector<float>& of_worker : outcome.losses) {
    for (const float loss : of_worker) {
      if (!std::isfinite(loss)) return true;
    }
  }
  return false;
}

}  // namespace

Trainer::Trainer(const Parts& parts, const TrainerOptions& options)
    : parts_(parts),
      options_(options),
      synchronous_(parts.strategy->synchronous()),
      lag_(parts.device->compute_stream().is_inline() ? 0 : 1),
      clock_(*parts.communicator, *parts.strategy, lag_ == 0),
      results_(*parts.device, synchronous_ ? *parts.communicator : lone_),
      step_(parts, &results_, options.step),
      parts_of_batch_(static_cast<size_t>(options.accumulate_steps)),
      last_saved_(options.first_step) {}

Status Trainer::Run() {
  const Status status = CatchDeviceError([&] { return RunLoop(); });
  // Peers that wait for this worker learn why it is gone. A clean stop is agreed by all.
  if (!status.ok() && status.code() != absl::StatusCode::kCancelled) parts_.communicator->Abort(status);
  return status;
}

Status Trainer::RunLoop() {
  // A run that ended between a checkpoint and its evaluation makes up for it.
  if (OwesEvaluation(options_.first_step)) TRIREME_RETURN_IF_ERROR(Evaluate(options_.first_step));
  const int64_t between_meetings = parts_.strategy->steps_between_meetings();
  Interruption due;
  for (int64_t step = options_.first_step; step < options_.total_steps; ++step) {
    TRIREME_RETURN_IF_ERROR(EnqueueStep(step));
    if (step == options_.first_step) ReportUnreached();
    const int64_t done = step + 1;
    due.checkpoint = due.checkpoint || IsCheckpointDue(done);
    due.evaluation = due.evaluation || IsEvaluationDue(done);
    const bool settled = done == options_.total_steps || parts_.strategy->settled(done);
    const bool pauses = settled && (due.checkpoint || due.evaluation);
    const bool meets = !synchronous_ && (pauses || done % between_meetings == 0);
    TRIREME_RETURN_IF_ERROR(ReadResults(pauses || meets ? 0 : lag_, &due.stop));
    if (meets) TRIREME_RETURN_IF_ERROR(Meet(&due.stop));
    if (!settled) continue;
    if (due.stop) TRIREME_RETURN_IF_ERROR(ReadResults(0, &due.stop));
    due.steps_done = done;
    if (due.checkpoint || due.evaluation || due.stop) TRIREME_RETURN_IF_ERROR(Interrupt(due));
    due = Interruption();
  }
  return absl::OkStatus();
}

Status Trainer::Interrupt(const Interruption& due) {
  const int64_t steps_done = due.steps_done;
  parts_.strategy->Announce(due);
  TRIREME_RETURN_IF_ERROR(parts_.strategy->Settle());
  parts_.arena->RefreshRounded();
  TRIREME_RETURN_IF_ERROR(CheckSameWeights(steps_done));
  if (due.checkpoint || due.stop) TRIREME_RETURN_IF_ERROR(Checkpoint(steps_done));
  if (due.stop && steps_done < options_.total_steps) return Stopped(steps_done, "");
  if (due.evaluation) TRIREME_RETURN_IF_ERROR(Evaluate(steps_done));
  return absl::OkStatus();
}

Status Trainer::CheckSameWeights(int64_t steps_done) {
  if (parts_.communicator->size() == 1) return absl::OkStatus();
  return Annotate(AgreeOn(ValuesOf(*parts_.arena), *parts_.communicator, *parts_.device, kSameWeights),
                  absl::StrCat("after step ", steps_done));
}

bool Trainer::IsCheckpointDue(int64_t steps_done) const {
  return steps_done == options_.total_steps ||
         (options_.checkpoint_every > 0 && steps_done % options_.checkpoint_every == 0) ||
         (options_.checkpoint_before_evaluation && IsEvaluationDue(steps_done));
}

bool Trainer::IsEvaluationDue(int64_t steps_done) const {
  if (!parts_.evaluate) return false;
  return steps_done >= options_.total_steps ||
         (options_.evaluate_every > 0 && steps_done % options_.evaluate_every == 0);
}

bool Trainer::OwesEvaluation(int64_t steps_done) const {
  for (int64_t done = steps_done; done > 0; --done) {
    if (IsEvaluationDue(done)) return true;
    if (done - 1 == 0 || parts_.strategy->settled(done - 1)) return false;
  }
  return false;
}

Status Trainer::Checkpoint(int64_t steps_done) {
  const TraceSpan span(TraceKind::kCheckpoint, "checkpoint after step", steps_done - 1);
  TRIREME_RETURN_IF_ERROR(SayWhen(parts_.save_checkpoint(steps_done), "the checkpoint after step ", steps_done));
  last_saved_ = steps_done;
  if (parts_.observer != nullptr) parts_.observer->OnCheckpoint(steps_done);
  return absl::OkStatus();
}

Status Trainer::Evaluate(int64_t steps_done) {
  const TraceSpan span(TraceKind::kEvaluation, "evaluation after step", steps_done - 1);
  const StatusOr<EvaluationReport> evaluation = parts_.evaluate(steps_done);
  if (absl::IsCancelled(evaluation.status())) return StopInEvaluation(steps_done);
  TRIREME_RETURN_IF_ERROR(SayWhen(evaluation.status(), "the evaluation after step ", steps_done));
  if (parts_.observer != nullptr) parts_.observer->OnEvaluation(steps_done, *evaluation);
  return absl::OkStatus();
}

Status Trainer::StopInEvaluation(int64_t steps_done) {
  // Nothing has changed since the strategy settled, but ranks that only serve wait for the next step. After the last
  // one they have ended.
  if (steps_done < options_.total_steps) {
    Interruption stop;
    stop.steps_done = steps_done;
    stop.stop = true;
    parts_.strategy->Announce(stop);
    TRIREME_RETURN_IF_ERROR(parts_.strategy->Settle());
  }
  if (last_saved_ != steps_done) TRIREME_RETURN_IF_ERROR(Checkpoint(steps_done));
  return Stopped(steps_done, ", in its evaluation");
}

Status Trainer::Stopped(int64_t steps_done, const char* where) const {
  return absl::CancelledError(absl::StrCat("stopped after step ", steps_done, " of ", options_.total_steps, where,
                                           "; the checkpoint is saved, --resume goes on from it"));
}

Status Trainer::EnqueueStep(int64_t step) {
  TraceBeginStep(step);
  const TraceSpan span(TraceKind::kStep, "step", step);
  PendingStep pending;
  pending.step = step;
  pending.start = Now();
  const float learning_rate = parts_.schedule->LearningRate(step);
  if (!(learning_rate >= 0) || std::isinf(learning_rate)) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", step, ": the schedule gives a learning rate of ", learning_rate));
  }
  pending.learning_rate = learning_rate;
  const double data_wait_before = parts_.batches->wait_seconds();
  TRIREME_RETURN_IF_ERROR(NextBatch(step));
  for (const Batch& part : parts_of_batch_) {
    pending.image_ids.insert(pending.image_ids.end(), part.image_ids.begin(), part.image_ids.end());
  }
  const double data_wait = parts_.batches->wait_seconds() - data_wait_before;

  clock_.BeginStep(data_wait);
  const auto note = [&] { return clock_.Note(parts_.stop_requested != nullptr && parts_.stop_requested->load()); };
  const Status status = CatchExceptions(absl::StrCat("step ", step), [&] {
    return CatchDeviceError([&] { return step_.Run(step, learning_rate, parts_of_batch_, note); });
  });
  if (absl::IsResourceExhausted(status)) return OutOfMemory(step, status);
  TRIREME_RETURN_IF_ERROR(SayWhen(status, "step ", step, parts_.strategy->UnderWay()));
  clock_.EndStep();
  pending_.push_back(std::move(pending));
  return absl::OkStatus();
}

Status Trainer::SayWhen(const Status& fault, const char* what, int64_t number, const std::string& under_way) const {
  if (fault.ok() || parts_.communicator->status().ok() || absl::StrContains(fault.message(), "step ")) return fault;
  return Annotate(fault, absl::StrCat(what, number, under_way.empty() ? "" : ", ", under_way));
}

Status Trainer::NextBatch(int64_t step) {
  const TraceSpan span(TraceKind::kWait, "wait for data");
  int64_t batch = step * options_.accumulate_steps;
  for (Batch& part : parts_of_batch_) TRIREME_RETURN_IF_ERROR(parts_.batches->Next(batch++, &part));
  return absl::OkStatus();
}

Status Trainer::OutOfMemory(int64_t step, const Status& fault) {
  MemoryTrial trial;
  trial.device = parts_.device;
  trial.detector = parts_.detector;
  trial.arena = parts_.arena;
  trial.precision = options_.step.precision;
  trial.batch = &parts_of_batch_[0];
  trial.workers = parts_.communicator->size();
  trial.accumulate_steps = options_.accumulate_steps;
  return AdviseOnMemory(Annotate(fault, absl::StrCat("step ", step)), trial);
}

Status Trainer::ReadResults(size_t unread, bool* stop) {
  while (pending_.size() > unread) TRIREME_RETURN_IF_ERROR(ReadOldest(stop));
  return absl::OkStatus();
}

Status Trainer::ReadOldest(bool* stop) {
  StepOutcome outcome = results_.Read();
  // Where the stream is inline, each call has told what it met: what a peer does by now is no fault of this step. But a
  // worker by itself may make no call for many steps.
  if (lag_ > 0 || !synchronous_) {
    TRIREME_RETURN_IF_ERROR(SayWhen(parts_.communicator->status(), "step ", pending_.front().step));
  }
  FinishedStep finished;
  finished.step = std::move(pending_.front());
  pending_.pop_front();
  const PendingStep& step = finished.step;
  // What one worker is asked is for all to hear first.
  for (const WorkerNote& note : outcome.notes) *stop = *stop || (synchronous_ && note.stop);
  const bool odd_loss = HasOddLoss(outcome);
  if (!odd_loss && !outcome.weights_finite) return WeightsNotFinite(step.step);
  // Float16's gradients overflow now and then, which is what the scale is for.
  const bool overflowed = !odd_loss && !outcome.applied && options_.step.precision == Precision::kFloat16;
  if (odd_loss || (!outcome.applied && !overflowed)) {
    TRIREME_RETURN_IF_ERROR(NotFinite(step, outcome, &finished.not_finite));
  } else {
    not_finite_in_a_row_ = 0;
  }
  overflowed_in_a_row_ = overflowed ? overflowed_in_a_row_ + 1 : 0;
  if (overflowed_in_a_row_ > kMostOverflowedInARow) {
    return absl::InternalError(absl::StrCat(
        "step ", step.step, ": gradients were not finite in ", overflowed_in_a_row_,
        " steps in a row, down to a loss scale of ", outcome.loss_scale,
        "; the weights are those before these steps: lower the learning rate, or say `precision: BF16` or FP32"));
  }
  const double now = Now();
  finished.seconds = now - std::max(step.start, last_read_);
  last_read_ = now;
  if (synchronous_) {
    Report(finished, outcome);
  } else {
    finished_.push_back(std::move(finished));
    own_outcomes_.push_back(std::move(outcome));
  }
  return absl::OkStatus();
}

Status Trainer::Meet(bool* stop) {
  if (own_outcomes_.empty()) return absl::OkStatus();
  const StatusOr<std::vector<StepOutcome>> outcomes = MeetPeers();
  clock_.AddToStep();
  TRIREME_RETURN_IF_ERROR(SayWhen(outcomes.status(), "the meeting after step ", finished_.back().step.step + 1));
  for (size_t i = 0; i < outcomes->size(); ++i) {
    for (const WorkerNote& note : (*outcomes)[i].notes) *stop = *stop || note.stop;
    Report(finished_[i], (*outcomes)[i]);
  }
  own_outcomes_.clear();
  finished_.clear();
  return absl::OkStatus();
}

StatusOr<std::vector<StepOutcome>> Trainer::MeetPeers() {
  TRIREME_RETURN_IF_ERROR(parts_.strategy->Meet());
  parts_.arena->RefreshRounded();
  // Each has scaled its losses by itself. A checkpoint has one scale for all.
  if (parts_.guard->loss_scale() != nullptr && parts_.communicator->size() > 1) {
    Stream& stream = parts_.device->compute_stream();
    TRIREME_RETURN_IF_ERROR(parts_.communicator->Broadcast(parts_.guard->state(), 0, stream));
  }
  return MeetOverSteps(own_outcomes_, *parts_.communicator, *parts_.device);
}

void Trainer::ReportUnreached() {
  if (parts_.observer == nullptr || step_.unreached().empty()) return;
  std::vector<std::string> names;
  for (const int index : step_.unreached()) {
    names.push_back(parts_.arena->parameters()[static_cast<size_t>(index)]->name);
  }
  parts_.observer->OnUnreached(names);
}

void Trainer::Report(const FinishedStep& step, const StepOutcome& outcome) {
  if (parts_.observer == nullptr) return;
  StepReport report;
  report.step = step.step.step;
  report.learning_rate = step.step.learning_rate;
  report.seconds = step.seconds;
  report.applied = outcome.applied;
  report.not_finite = step.not_finite;
  report.loss_scale = outcome.loss_scale;
  report.gradient_norm = outcome.gradient_norm;
  for (size_t i = 0; i < outcome.loss_names.size(); ++i) {
    float sum = 0;  // in rank order
    for (const std::vector<float>& of_worker : outcome.losses) sum += of_worker[i];
    report.losses.emplace_back(outcome.loss_names[i], sum);
    report.loss += sum;
  }
  const double workers = static_cast<double>(outcome.notes.size());
  for (const WorkerNote& note : outcome.notes) {
    report.data_wait_seconds += note.data_wait_seconds / workers;
    report.peer_wait_seconds += note.peer_wait_seconds / workers;
    report.communication_seconds += note.communication_seconds / workers;
    report.bytes_sent = std::max(report.bytes_sent, note.bytes_sent);
  }
  parts_.observer->OnStep(report);
}

Status Trainer::NotFinite(const PendingStep& step, const StepOutcome& outcome, std::string* sentence) {
  ++not_finite_in_a_row_;
  // The loader makes a batch anew where the next step's has taken its place. On a device that runs beside the host the
  // step after it is enqueued already; unless updates are halted, that is what the weights are of.
  const bool collective = synchronous_;
  if (lag_ > 0) TRIREME_RETURN_IF_ERROR(NextBatch(step.step));
  NotFiniteTrial trial;
  trial.device = parts_.device;
  trial.communicator = parts_.communicator;
  trial.collective = collective;
  trial.detector = parts_.detector;
  trial.arena = parts_.arena;
  trial.precision = options_.step.precision;
  trial.seed = options_.step.seed;
  trial.step = step.step;
  trial.parts = &parts_of_batch_;
  trial.loss_scale = parts_.guard->loss_scale();
  TRIREME_ASSIGN_OR_RETURN(*sentence, DescribeNotFinite(trial, step.image_ids, outcome));
  if (not_finite_in_a_row_ <= options_.most_not_finite_in_a_row) return absl::OkStatus();
  // Running statistics this step's own forward pass may have spoilt.
  const std::string odd_weight = FirstNotFiniteParameter(*parts_.arena);
  if (collective) AwaitReaders();
  const std::string steps =
      not_finite_in_a_row_ > 1 ? absl::StrCat(" (the last of ", not_finite_in_a_row_, " such steps)") : "";
  if (!odd_weight.empty()) {
    return absl::InternalError(
        absl::StrCat(*sentence, steps, "; ", odd_weight, " has not been finite since a step before", kGoOn));
  }
  return absl::InternalError(absl::StrCat(*sentence, steps,
                                          "; the weights are still those of the step before: lower the learning "
                                          "rate, or look at these images"));
}

Status Trainer::WeightsNotFinite(int64_t step) {
  std::string what = FirstNotFiniteParameter(*parts_.arena);
  if (what.empty()) what = FirstNotFiniteBuffer(*parts_.arena);
  if (what.empty()) what = "a running statistic of another worker";
  if (synchronous_) AwaitReaders();
  return absl::InternalError(absl::StrCat("step ", step, ": ", what, " has not been finite since one of the ",
                                          WeightWatch::kSteps, " steps before, though the losses are", kGoOn));
}

void Trainer::AwaitReaders() {
  Stream& stream = parts_.device->compute_stream();
  parts_.communicator->Barrier(stream).IgnoreError();
  stream.Synchronize();
}

}  // namespace trireme

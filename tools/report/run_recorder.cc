#include "tools/report/run_recorder.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/clock.h"
#include "core/base/files.h"
#include "tools/job/learning_rate.h"
#include "tools/report/html_report.h"

namespace trireme {
namespace {

constexpr size_t kMostNamesTold = 5;

std::string UtcTime() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return text;
}

std::string Thousands(int64_t n) {
  std::string digits = std::to_string(n);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

nlohmann::ordered_json PeaksOf(const MemoryStats& stats) {
  nlohmann::ordered_json peaks;
  for (int kind = 0; kind < kNumMemoryKinds; ++kind) {
    peaks[MemoryKindName(static_cast<MemoryKind>(kind))] = stats.peak[kind];
  }
  peaks["total"] = stats.peak_total;
  return peaks;
}

bool CountsSkipped(const Config& config) {
  return config.precision() == Config::FP16 || config.not_finite() == Config::SKIP;
}

// As evaluations name it; empty if no best is kept.
std::string BestMetric(const Config& config) {
  switch (config.checkpoint().keep_best()) {
    case CheckpointConfig::MAP50:
      return "mAP50";
    case CheckpointConfig::MAP:
      return "mAP";
    case CheckpointConfig::NONE:
      break;
  }
  return "";
}

// Of an evaluation, what a line has room for.
bool IsHeadline(const std::string& name) {
  return name == "mAP50" || name == "mAP" || absl::StartsWith(name, "AP50/");
}

std::string PrecisionName(const Config& config) { return Config::Precision_Name(config.precision()); }

}  // namespace

StatusOr<std::unique_ptr<RunRecorder>> RunRecorder::Open(const Job& job) {
  auto recorder = std::unique_ptr<RunRecorder>(new RunRecorder(job));
  const std::string path = job.run_folder + "/metrics.jsonl";
  int64_t broken = 0;
  TRIREME_ASSIGN_OR_RETURN(recorder->metrics_, MetricsLog::Open(path, job.resumed.step, &broken));
  if (broken > 0) job.faults->Add("broken lines of metrics", path, absl::StrCat(broken, " lines; they are left out"));
  if (job.resumed.step > 0) recorder->FindBest();
  recorder->started_ = Now();
  recorder->last_checkpoint_ = job.resumed.step;
  recorder->steps_done_ = job.resumed.step;
  return recorder;
}

void RunRecorder::FindBest() {
  const std::string metric = BestMetric(job_.config), best = BestCheckpoint(job_.run_folder);
  if (metric.empty()) return;
  // A run that was killed may have evaluated the last one, and not yet linked it.
  for (const std::string& checkpoint : {best, job_.resume_from}) {
    const std::optional<double> value = ReadEvaluation(checkpoint, metric);
    const StatusOr<CheckpointInfo> info = ReadCheckpointInfo(checkpoint);
    if (info.ok() && value.has_value()) {
      KeepIfBest(info->step, *value);
    } else if (checkpoint == best && info.ok()) {
      Tell(absl::StrCat(best, ": its ", metric, " is not known; the next evaluation takes its place as the best"));
    }
  }
}

void RunRecorder::KeepIfBest(int64_t steps_done, double value) {
  if (!std::isfinite(value) || (best_.step > 0 && value <= best_.value)) return;
  const Status linked = LinkBest(job_.run_folder, job_.config.checkpoint().keep(), steps_done);
  if (linked.ok()) {
    best_ = {steps_done, value};
  } else {
    Tell(absl::StrCat(linked.message(), "; training goes on, and the checkpoint after step ", steps_done,
                      ", the best so far, is not kept longer than others"));
  }
}

void RunRecorder::KeepEvaluation(int64_t steps_done, const EvaluationReport& report) {
  const std::string metric = BestMetric(job_.config);
  if (metric.empty()) return;
  const Status written = WriteEvaluation(CheckpointPath(job_.run_folder, steps_done), report);
  if (!written.ok()) Tell(absl::StrCat(written.message(), "; training goes on"));
  for (const auto& [name, value] : report) {
    if (name == metric) KeepIfBest(steps_done, value);
  }
}

double RunRecorder::EpochAfter(int64_t steps) const {
  return static_cast<double>(steps * job_.config.global_batch_size()) / static_cast<double>(job_.train_data->size());
}

void RunRecorder::Write(const nlohmann::ordered_json& event) {
  const Status written = metrics_->Write(event);
  if (written.ok() || metrics_->lost() > 1) return;
  Tell(absl::StrCat(written.message(), "; training goes on, and each line is tried anew"));
}

void RunRecorder::Tell(const std::string& line) {
  if (progress_ != nullptr) {
    progress_->Line(line);
  } else {
    absl::PrintF("%s\n", line);
  }
}

void RunRecorder::OnStart(const Setup& setup) {
  const Config& config = job_.config;
  progress_ = std::make_unique<ProgressDisplay>(stdout, setup.first_step, config.steps(), config.global_batch_size());
  progress_->Line(absl::StrFormat("%s: %s, %s parameters, %s", job_.name, config.model().type_url(),
                                  Thousands(setup.trained_values), config.strategy().type_url()));
  if (!setup.why_this_device.empty()) progress_->Line(setup.why_this_device);
  progress_->Line(absl::StrFormat("%d %s on %s in %s, %d images a step, %s images in %d classes, seed %d",
                                  config.workers(), config.workers() == 1 ? "worker" : "workers", setup.device,
                                  PrecisionName(config), config.global_batch_size(), Thousands(job_.train_data->size()),
                                  job_.train_data->class_names().size(), config.seed()));
  if (setup.workers.size() > 1) {
    for (const std::string& line : WorkerTable(setup.workers, config.global_batch_size())) progress_->Line(line);
  }
  if (setup.server_ranks > 0) {
    progress_->Line(absl::StrFormat("%d more to hold the parameters and to serve the workers, rank %d and up",
                                    setup.server_ranks, config.workers()));
  }
  if (!setup.synchronous && config.workers() > 1) {
    progress_->Line(
        "asynchronous: each worker takes its own images for the batch, in the losses and in synchronised norm");
  }
  const std::string scaling = DescribeLearningRateScaling(job_);
  if (!scaling.empty()) progress_->Line(scaling);
  if (config.has_weight_average()) {
    progress_->Line(absl::StrFormat("evaluates, and saves as the model, an average of the weights (decay %g)",
                                    config.weight_average().decay()));
  }
  if (setup.first_step > 0) progress_->Line(absl::StrFormat("resumed from %s", job_.resume_from));
  if (!job_.faults->empty()) progress_->Line(absl::StrCat(job_.faults->Summary(), "; listed in the report"));
  nlohmann::ordered_json event = {{"event", "start"},
                                  {"time", UtcTime()},
                                  {"name", job_.name},
                                  {"step", setup.first_step},
                                  {"total_steps", config.steps()},
                                  {"model", config.model().type_url()},
                                  {"strategy", config.strategy().type_url()},
                                  {"parameters", setup.trained_values},
                                  {"workers", config.workers()},
                                  {"device", setup.device},
                                  {"precision", PrecisionName(config)},
                                  {"global_batch_size", config.global_batch_size()},
                                  {"images", job_.train_data->size()},
                                  {"seed", config.seed()}};
  for (const WorkerPlace& worker : setup.workers) {
    event["places"].push_back({{"host", worker.host}, {"process", worker.process}, {"device", worker.device}});
  }
  if (!scaling.empty()) event["lr_scaling"] = scaling;
  Write(event);
}

void RunRecorder::OnUnreached(const std::vector<std::string>& parameters) {
  const size_t told = std::min(parameters.size(), kMostNamesTold);
  const size_t others = parameters.size() - told;
  progress_->Line(
      absl::StrCat("no gradient came to ", parameters.size(), parameters.size() == 1 ? " parameter" : " parameters",
                   " in the first step: ",
                   absl::StrJoin(parameters.begin(), parameters.begin() + static_cast<ptrdiff_t>(told), ", "),
                   others > 0 ? absl::StrCat(" and ", others, " more") : "",
                   "; no loss depends on them, so they stay as they are, but for weight decay"));
  Write({{"event", "unreached"}, {"step", job_.resumed.step}, {"parameters", parameters}});
}

void RunRecorder::OnStep(const StepReport& report) {
  steps_done_ = report.step + 1;
  if (!report.applied) ++steps_skipped_;
  if (!report.not_finite.empty()) {
    ++steps_not_finite_;
    progress_->Line(absl::StrCat("left out: ", report.not_finite));
    Write({{"event", "skip"}, {"step", steps_done_}, {"why", report.not_finite}});
  }
  progress_->Step(report);
  const int64_t every = std::max<int64_t>(1, job_.config.log().every_steps());
  if (steps_done_ % every != 0 && steps_done_ != job_.config.steps()) return;
  nlohmann::ordered_json event = {
      {"event", "step"}, {"step", steps_done_}, {"epoch", EpochAfter(steps_done_)}, {"loss", report.loss}};
  event["losses"] = nlohmann::ordered_json::object();
  for (const auto& [name, value] : report.losses) event["losses"][name] = value;
  event["lr"] = report.learning_rate;
  event["images_per_second"] = job_.config.global_batch_size() / report.seconds;
  event["data_wait"] = report.data_wait_seconds / report.seconds;
  event["peer_wait"] = report.peer_wait_seconds / report.seconds;
  event["communication"] = report.communication_seconds / report.seconds;
  event["bytes_sent"] = report.bytes_sent;
  if (job_.config.has_clip_gradient_norm()) event["gradient_norm"] = report.gradient_norm;
  if (job_.config.precision() == Config::FP16) event["loss_scale"] = report.loss_scale;
  if (CountsSkipped(job_.config)) event["steps_skipped"] = steps_skipped_;
  Write(event);
}

void RunRecorder::OnEvaluation(int64_t steps_done, const EvaluationReport& report) {
  if (steps_done == job_.resumed.step) {
    const Status dropped = metrics_->DropEvaluation(steps_done);
    if (!dropped.ok()) Tell(absl::StrCat(dropped.message(), "; an evaluation stands there twice"));
  }
  last_evaluation_ = report;
  nlohmann::ordered_json event = {{"event", "eval"}, {"step", steps_done}, {"epoch", EpochAfter(steps_done)}};
  std::string text = absl::StrFormat("step %d", steps_done);
  for (const auto& [name, value] : report) {
    event[name] = value;
    if (IsHeadline(name)) absl::StrAppendFormat(&text, "  %s %.3f", name, value);
  }
  Write(event);
  progress_->Line(text);
  KeepEvaluation(steps_done, report);
}

void RunRecorder::OnCheckpoint(int64_t steps_done) { last_checkpoint_ = steps_done; }

void RunRecorder::OnEnd(const std::vector<MemoryStats>& memory) { memory_ = memory; }

Status RunRecorder::Finish(const Status& trained) {
  if (progress_ != nullptr) progress_->Finish();
  const double seconds = Now() - started_;
  nlohmann::ordered_json event = {{"event", "end"}, {"time", UtcTime()}, {"step", steps_done_}, {"seconds", seconds}};
  event["status"] = trained.ok() ? "done" : std::string(trained.message());
  for (const MemoryStats& of_worker : memory_) event["peak_bytes"].push_back(PeaksOf(of_worker));
  if (CountsSkipped(job_.config)) event["steps_skipped"] = steps_skipped_;
  if (!job_.faults->empty()) event["faults"] = job_.faults->counts();
  if (metrics_->lost() > 0) event["lost_lines"] = metrics_->lost();
  Write(event);

  const std::string report = job_.run_folder + "/report.html";
  TRIREME_RETURN_IF_ERROR(WriteHtmlReport(job_.run_folder, job_.name, *job_.faults, report));
  if (!trained.ok() && steps_done_ == job_.resumed.step) return absl::OkStatus();
  if (!job_.faults->empty()) absl::PrintF("%s\n", job_.faults->Summary());
  absl::PrintF("\n%s %d steps in %s\n", trained.ok() ? "trained" : "ended after", steps_done_ - job_.resumed.step,
               FormatDuration(seconds));
  if (steps_skipped_ > steps_not_finite_) {
    absl::PrintF("  %d of these were skipped, as gradients overflowed FP16 and the loss scale came down\n",
                 steps_skipped_ - steps_not_finite_);
  }
  if (steps_not_finite_ > 0) {
    absl::PrintF("  %d of these were skipped, as losses or gradients were not finite; listed in the report\n",
                 steps_not_finite_);
  }
  for (const auto& [name, value] : last_evaluation_) absl::PrintF("  %-22s %.4f\n", name, value);
  if (last_checkpoint_ > 0) {
    absl::PrintF("  checkpoint  %s/checkpoints/step_%08d\n", job_.run_folder, last_checkpoint_);
  }
  if (best_.step > 0) {
    absl::PrintF("  best        %s/best (step %d, %s %.4f)\n", job_.run_folder, best_.step, BestMetric(job_.config),
                 best_.value);
  }
  if (!job_.trace.file.empty()) absl::PrintF("  trace       %s\n", job_.trace.file);
  absl::PrintF("  metrics     %s/metrics.jsonl\n", job_.run_folder);
  if (metrics_->lost() > 0) absl::PrintF("              %d lines of it could not be written\n", metrics_->lost());
  absl::PrintF("  report      %s\n", report);
  return absl::OkStatus();
}

}  // namespace trireme

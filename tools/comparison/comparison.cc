#include "tools/comparison/comparison.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "core/base/files.h"
#include "core/config/config_file.h"
#include "tools/comparison/run_train.h"
#include "tools/trace/trace_file.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// The config that train is given: the user's, but for what is compared and what would disturb the measurement.
StatusOr<std::string> ConfigText(const Config& config, const Combination& combination,
                                 const ComparisonOptions& options) {
  Config run = config;
  TRIREME_RETURN_IF_ERROR(ApplyOverride(absl::StrCat("strategy={", combination.ConfigText(), "}"), &run));
  run.set_workers(combination.workers);
  run.set_steps(options.warmup_steps + options.steps);
  run.clear_eval_data();
  run.clear_out();
  run.mutable_checkpoint()->set_every_steps(0);
  run.mutable_log()->set_every_steps(1);
  return PrintText(run);
}

// Everything that became known of one combination.
struct Progress {
  std::string failure;
  std::vector<RunMeasurement> runs;
  std::string last_run_folder;  // empty where that run did not end well
};

struct RunFiles {
  std::string config, log, folder;
};

StatusOr<RunFiles> PrepareRun(const Config& config, const Combination& combination, const ComparisonOptions& options,
                              const std::string& folder, const std::string& name) {
  TRIREME_RETURN_IF_ERROR(MakeFolder(folder));
  const RunFiles files = {folder + "/compare.pbtxt", absl::StrCat(folder, "/", name, ".log"),
                          absl::StrCat(folder, "/", name)};
  TRIREME_ASSIGN_OR_RETURN(const std::string text, ConfigText(config, combination, options));
  TRIREME_RETURN_IF_ERROR(WriteFileAtomically(files.config, text));
  std::error_code error;
  fs::remove_all(files.folder, error);
  return files;
}

Status RunOnce(const std::string& train, const Config& config, const Combination& combination,
               const ComparisonOptions& options, const std::string& folder, Progress* progress) {
  TRIREME_ASSIGN_OR_RETURN(const RunFiles files, PrepareRun(config, combination, options, folder, "run"));
  TRIREME_RETURN_IF_ERROR(
      RunTrain(train, {"--config=" + files.config, "--out=" + files.folder}, files.log, options.timeout_seconds));
  TRIREME_ASSIGN_OR_RETURN(RunMeasurement run, ReadRun(files.folder, options.warmup_steps));
  progress->runs.push_back(std::move(run));
  progress->last_run_folder = files.folder;
  return absl::OkStatus();
}

std::string RunFolder(const ComparisonOptions& options, size_t index) {
  return absl::StrCat(options.folder, "/runs/", index);
}

// Of the steps that are measured elsewhere, as far as a trace goes by default. One that fails has traced what came
// before.
Status TraceAll(const std::string& train, const Config& config, const std::vector<Combination>& plan,
                const ComparisonOptions& options, const std::function<void(const std::string& what)>& progress) {
  constexpr int64_t kSteps = 20;
  const std::string steps =
      absl::StrCat(options.warmup_steps, ":", options.warmup_steps + std::min(options.steps, kSteps));
  std::vector<NamedTraceFile> traces;
  for (size_t i = 0; i < plan.size(); ++i) {
    progress(absl::StrCat("trace: ", plan[i].Describe()));
    TRIREME_ASSIGN_OR_RETURN(const RunFiles files,
                             PrepareRun(config, plan[i], options, RunFolder(options, i), "trace"));
    traces.push_back({plan[i].Describe(), files.folder + "/trace.json"});
    const Status status = RunTrain(train,
                                   {"--config=" + files.config, "--out=" + files.folder,
                                    "--trace=" + traces.back().path, "--trace_steps=" + steps},
                                   files.log, options.timeout_seconds);
    if (absl::IsCancelled(status)) return status;
    if (!status.ok()) progress(absl::StrCat("  its trace goes as far as it came: ", status.message()));
  }
  return MergeTraces(traces, "a comparison; each job begins at zero", options.trace);
}

Row MakeRow(const Combination& combination, const Progress& progress,
            const StatusOr<SafetensorsContent>& baseline_weights) {
  Row row;
  if (!progress.failure.empty() || progress.runs.empty()) {
    row.combination = combination;
    row.failure = progress.failure.empty() ? "it was not run" : progress.failure;
    return row;
  }
  row = Summarise(combination, progress.runs);
  if (progress.last_run_folder.empty()) return row;
  const auto weights = ReadFinalWeights(progress.last_run_folder);
  if (baseline_weights.ok() && weights.ok()) {
    const auto difference = LargestDifference(*baseline_weights, *weights, &row.weight_difference_at);
    row.weight_difference = difference.ok() ? *difference : std::nan("");
  }
  return row;
}

// Cancelled if this program was asked to stop; then the run under way is none, nor is its folder's former one.
Status MeasureAll(const std::string& train, const Config& config, const std::vector<Combination>& plan,
                  const ComparisonOptions& options, const std::function<void(const std::string& what)>& progress,
                  std::vector<Progress>* done) {
  for (int round = 0; round < options.rounds; ++round) {
    for (size_t place = 0; place < plan.size(); ++place) {
      const size_t i = (place + static_cast<size_t>(round)) % plan.size();
      Progress& one = (*done)[i];
      if (!one.failure.empty()) continue;
      progress(absl::StrFormat("round %d of %d: %s", round + 1, options.rounds, plan[i].Describe()));
      one.last_run_folder.clear();
      const Status status = RunOnce(train, config, plan[i], options, RunFolder(options, i), &one);
      if (absl::IsCancelled(status)) return status;
      if (!status.ok()) one.failure = std::string(status.message());
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<Comparison> Compare(const Config& config, const std::vector<Combination>& plan,
                             const ComparisonOptions& options,
                             const std::function<void(const std::string& what)>& progress) {
  TRIREME_ASSIGN_OR_RETURN(const std::string train, FindTrainTool());
  std::vector<Progress> done(plan.size());
  Comparison comparison;
  comparison.ended = MeasureAll(train, config, plan, options, progress, &done);
  if (comparison.ended.ok() && !options.trace.empty()) {
    comparison.ended = Annotate(TraceAll(train, config, plan, options, progress), "--trace");
  }
  StatusOr<SafetensorsContent> baseline_weights = absl::NotFoundError("");
  if (!done[0].last_run_folder.empty()) baseline_weights = ReadFinalWeights(done[0].last_run_folder);
  for (size_t i = 0; i < plan.size(); ++i) {
    comparison.rows.push_back(MakeRow(plan[i], done[i], baseline_weights));
    if (!done[i].runs.empty() && comparison.device.empty()) {
      const RunMeasurement& run = done[i].runs.front();
      comparison.device = run.device;
      comparison.parameters = run.parameters;
      comparison.global_batch_size = run.global_batch_size;
    }
  }
  // 0 where the first row failed.
  const double base = comparison.rows[0].images_per_second.median;
  for (Row& row : comparison.rows) {
    row.speedup = base > 0 ? row.images_per_second.median / base : std::nan("");
    row.efficiency = row.speedup / row.combination.workers;
  }
  return comparison;
}

}  // namespace trireme

#include "tools/comparison/measurement.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/train/checkpoint_folder.h"
#include "tools/report/metrics_log.h"

namespace trireme {
namespace {

double Median(std::vector<double> values) { return SpreadOf(std::move(values)).median; }

double MedianOverRuns(const std::vector<RunMeasurement>& runs, double RunMeasurement::*member) {
  std::vector<double> all;
  for (const RunMeasurement& run : runs) all.push_back(run.*member);
  return Median(std::move(all));
}

std::map<std::string, double> LargestWorker(const nlohmann::ordered_json& workers) {
  std::map<std::string, double> largest;
  for (const auto& worker : workers) {
    if (!largest.empty() && worker.value("total", 0.0) <= largest["total"]) continue;
    for (const auto& [kind, bytes] : worker.items()) largest[kind] = bytes;
  }
  return largest;
}

// What is not finite is null in JSON.
double NumberOf(const nlohmann::ordered_json& event, const char* name) {
  const auto value = event.find(name);
  return value != event.end() && value->is_number() ? value->get<double>() : std::nan("");
}

}  // namespace

StatusOr<RunMeasurement> ReadRun(const std::string& run_folder, int64_t warmup_steps) {
  const std::string path = run_folder + "/metrics.jsonl";
  TRIREME_ASSIGN_OR_RETURN(const Metrics metrics, ReadMetrics(path));
  if (metrics.broken > 0) {
    return absl::DataLossError(absl::StrCat(path, ": ", metrics.broken, " of its lines are no JSON objects"));
  }
  RunMeasurement run;
  std::string status = "it did not end";
  double steps = 0;
  for (const auto& event : metrics.events) {
    const std::string kind = event.value("event", "");
    if (kind == "start") {
      run.parameters = event.value("parameters", int64_t{0});
      run.device = event.value("device", "");
      run.global_batch_size = event.value("global_batch_size", 0);
    } else if (kind == "step") {
      run.losses.push_back(NumberOf(event, "loss"));
      if (event.value("step", int64_t{0}) <= warmup_steps) continue;
      const double seconds = run.global_batch_size / NumberOf(event, "images_per_second");
      ++steps;
      run.step_seconds += seconds;
      run.data_wait_seconds += seconds * event.value("data_wait", 0.0);
      run.peer_wait_seconds += seconds * event.value("peer_wait", 0.0);
      run.communication_seconds += seconds * event.value("communication", 0.0);
      run.bytes_sent_a_step += event.value("bytes_sent", 0.0);
    } else if (kind == "end") {
      status = event.value("status", "");
      if (event.contains("peak_bytes")) run.peak_bytes = LargestWorker(event["peak_bytes"]);
    }
  }
  if (status != "done") return absl::FailedPreconditionError(status);
  if (steps == 0) return absl::FailedPreconditionError("it left no step after the warm-up");
  for (double* sum : {&run.step_seconds, &run.data_wait_seconds, &run.peer_wait_seconds, &run.communication_seconds,
                      &run.bytes_sent_a_step}) {
    *sum /= steps;
  }
  return run;
}

StatusOr<SafetensorsContent> ReadFinalWeights(const std::string& run_folder) {
  TRIREME_ASSIGN_OR_RETURN(const std::string checkpoint, FindCheckpoint(run_folder));
  TRIREME_ASSIGN_OR_RETURN(const CheckpointInfo info, ReadCheckpointInfo(checkpoint));
  return ReadSafetensors(info.averaged ? TrainedFile(checkpoint) : ModelFile(checkpoint));
}

StatusOr<double> LargestDifference(const SafetensorsContent& a, const SafetensorsContent& b, std::string* where) {
  if (a.arrays.size() != b.arrays.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("one has ", a.arrays.size(), " tensors, the other ", b.arrays.size()));
  }
  double largest = 0;
  for (size_t i = 0; i < a.arrays.size(); ++i) {
    const NamedArray &x = a.arrays[i], &y = b.arrays[i];
    if (x.name != y.name || x.values.size() != y.values.size()) {
      return absl::InvalidArgumentError(absl::StrCat(x.name, " and ", y.name, " are not the same tensor"));
    }
    double difference = 0, norm = 0;
    for (size_t k = 0; k < x.values.size(); ++k) {
      const double d = static_cast<double>(x.values[k]) - y.values[k];
      difference += d * d;
      norm += static_cast<double>(x.values[k]) * x.values[k];
    }
    const double relative = std::sqrt(difference) / (norm > 0 ? std::sqrt(norm) : 1);
    // Not a number is no small difference.
    if (!(relative <= largest)) {
      largest = relative;
      *where = x.name;
    }
    if (std::isnan(largest)) break;
  }
  return largest;
}

Spread SpreadOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return {values.front(), (values[(n - 1) / 2] + values[n / 2]) / 2, values.back()};
}

Row Summarise(const Combination& combination, const std::vector<RunMeasurement>& runs) {
  Row row;
  row.combination = combination;
  row.runs = static_cast<int>(runs.size());
  const RunMeasurement& first = runs.front();
  std::vector<double> speeds;
  for (const RunMeasurement& run : runs) {
    speeds.push_back(run.global_batch_size / run.step_seconds);
    for (const auto& [kind, peak] : run.peak_bytes) row.peak_bytes[kind] = std::max(row.peak_bytes[kind], peak);
  }
  row.images_per_second = SpreadOf(speeds);
  row.step_ms = 1e3 * MedianOverRuns(runs, &RunMeasurement::step_seconds);
  row.data_wait_ms = 1e3 * MedianOverRuns(runs, &RunMeasurement::data_wait_seconds);
  row.exposed_communication_ms = 1e3 * MedianOverRuns(runs, &RunMeasurement::peer_wait_seconds);
  row.compute_ms = std::max(0.0, row.step_ms - row.data_wait_ms - row.exposed_communication_ms);
  row.communication_ms = 1e3 * MedianOverRuns(runs, &RunMeasurement::communication_seconds);
  row.bytes_sent_a_step = MedianOverRuns(runs, &RunMeasurement::bytes_sent_a_step);
  const double n = combination.workers, gradient_bytes = static_cast<double>(first.parameters) * sizeof(float);
  const double least_share = 2 * (n - 1) / n;
  row.bytes_bound = least_share * gradient_bytes;
  if (n > 1 && row.communication_ms > 0) {
    row.algorithm_bandwidth = gradient_bytes / (1e-3 * row.communication_ms);
    row.bus_bandwidth = least_share * row.algorithm_bandwidth;
  }
  row.losses = first.losses;
  row.weight_difference = std::nan("");
  return row;
}

}  // namespace trireme

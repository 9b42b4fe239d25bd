// What one run of train left behind, and what several runs of one combination come to.
#ifndef TRIREME_TOOLS_COMPARISON_MEASUREMENT_H_
#define TRIREME_TOOLS_COMPARISON_MEASUREMENT_H_

#include <map>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/train/safetensors.h"
#include "tools/comparison/plan.h"

namespace trireme {

// One run's steps after the warm-up: means over steps, as steps of one run may differ (those of local_sgd that
// average). Seconds are of rank 0's steps; the others are means over the workers, too.
struct RunMeasurement {
  double step_seconds = 0, data_wait_seconds = 0, peer_wait_seconds = 0, communication_seconds = 0;
  double bytes_sent_a_step = 0;              // by the worker that sent most
  std::vector<double> losses;                // of every step, warm-up included
  std::map<std::string, double> peak_bytes;  // of the worker that took most, by kind
  int64_t parameters = 0;
  std::string device;
  int global_batch_size = 0;
};

// Of a run folder's metrics.jsonl. FailedPrecondition with the run's own sentence if it did not end well.
StatusOr<RunMeasurement> ReadRun(const std::string& run_folder, int64_t warmup_steps);

// The weights of a run's newest checkpoint.
StatusOr<SafetensorsContent> ReadFinalWeights(const std::string& run_folder);

// max over tensors of ||a - b|| / ||a||; a tensor of zeros counts by ||b|| alone. InvalidArgument if they are not of
// one model. `*where` is the tensor's name.
StatusOr<double> LargestDifference(const SafetensorsContent& a, const SafetensorsContent& b, std::string* where);

struct Spread {
  double least = 0, median = 0, most = 0;
};
Spread SpreadOf(std::vector<double> values);

// A row of the comparison.
struct Row {
  Combination combination;
  std::string failure;  // a sentence; then all else is empty
  int runs = 0;

  Spread images_per_second;  // over runs
  double speedup = 0;        // against the first row; NaN where that failed
  double efficiency = 0;     // speedup / workers
  // Of a step, by medians over runs, milliseconds.
  double step_ms = 0, data_wait_ms = 0, exposed_communication_ms = 0, compute_ms = 0;
  double communication_ms = 0;  // in which gradients or parameters were on their way, exposed or hidden; 0: not known
  double bytes_sent_a_step = 0;
  double bytes_bound = 0;  // 2 (n - 1) / n of the gradients
  // As nccl-tests define them for an all-reduce: the gradients' bytes over communication_ms, and that times
  // 2 (n - 1) / n, which can be held against what the hardware moves. Bytes a second; 0: not known. Other than there,
  // the time is that of a training step, with backward beside it and peers that come late.
  double algorithm_bandwidth = 0, bus_bandwidth = 0;
  std::map<std::string, double> peak_bytes;
  std::vector<double> losses;    // of the first run
  double weight_difference = 0;  // from the first row's weights; NaN if there are none
  std::string weight_difference_at;
};

// `runs` are those that ended well, of one combination. Leaves speed-up, efficiency and differences to the caller.
Row Summarise(const Combination& combination, const std::vector<RunMeasurement>& runs);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARISON_MEASUREMENT_H_

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

// One run's steps after the warm-up. Seconds are of rank 0's steps; waits are the longest over the workers.
struct RunMeasurement {
  std::vector<double> step_seconds, data_wait_seconds, peer_wait_seconds;
  double bytes_sent_a_step = 0;              // by rank 0, mean
  std::vector<double> losses;                // of every step, warm-up included
  std::map<std::string, double> peak_bytes;  // of rank 0, by kind
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

  Spread images_per_second;  // over runs, each by the median of its steps
  double speedup = 0;        // against the first row
  double efficiency = 0;     // speedup / workers
  // Of a step, by medians over all steps of all runs, milliseconds.
  double step_ms = 0, data_wait_ms = 0, exposed_communication_ms = 0, compute_ms = 0;
  double bytes_sent_a_step = 0;
  double bytes_bound = 0;  // 2 (n - 1) / n of the gradients
  std::map<std::string, double> peak_bytes;
  std::vector<double> losses;    // of the first run
  double weight_difference = 0;  // from the first row's weights; NaN if there are none
  std::string weight_difference_at;
};

// `runs` are those that ended well, of one combination. Leaves speed-up, efficiency and differences to the caller.
Row Summarise(const Combination& combination, const std::vector<RunMeasurement>& runs);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARISON_MEASUREMENT_H_

// A whole comparison: runs every combination of a plan, several times in turn, and sums up.
#ifndef TRIREME_TOOLS_COMPARISON_COMPARISON_H_
#define TRIREME_TOOLS_COMPARISON_COMPARISON_H_

#include <functional>
#include <string>
#include <vector>

#include "core/config/config.pb.h"
#include "tools/comparison/measurement.h"
#include "tools/comparison/plan.h"

namespace trireme {

struct ComparisonOptions {
  int64_t steps = 20;            // that are measured, in each run
  int64_t warmup_steps = 5;      // before them
  int rounds = 3;                // runs of each combination
  double timeout_seconds = 600;  // of a run
  std::string folder;            // runs, logs and results
  std::string trace;             // a file that gets a trace of each combination; empty: none
};

struct Comparison {
  std::string device;
  int64_t parameters = 0;
  int global_batch_size = 0;
  std::vector<Row> rows;  // in the plan's order; the first is what the others are compared with
  // Why it ended before all was done: Cancelled if this program was asked to stop, else what is wrong with the trace.
  // The rows are of what was measured until then.
  Status ended;
};

// Each round runs every combination once, in an order that the round turns, so that a machine that is slower for a
// while favours none. All runs train from the same seed on the same images. A combination that fails is a row with its
// sentence, and is not run again; the others go on. `progress` is told before each run.
//
// A trace is of one more run of each combination, which is not measured; of one that fails, as far as rank 0 came.
//
// NotFound if there is no tool to train with; what comes later ends the comparison, and nothing that was measured is
// lost (Comparison::ended).
StatusOr<Comparison> Compare(const Config& config, const std::vector<Combination>& plan,
                             const ComparisonOptions& options,
                             const std::function<void(const std::string& what)>& progress);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARISON_COMPARISON_H_

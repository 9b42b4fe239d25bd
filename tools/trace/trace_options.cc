#include "tools/trace/trace_options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace trireme {
namespace {

// The first steps prepare what later ones reuse.
constexpr int64_t kWarmup = 5, kSteps = 20;

}  // namespace

StatusOr<TraceOptions> MakeTraceOptions(const std::string& file, const std::string& steps, int64_t first_step,
                                        int64_t total_steps) {
  TraceOptions options;
  options.file = file;
  if (file.empty()) {
    if (steps.empty()) return options;
    return absl::InvalidArgumentError("--trace_steps says which steps, and --trace=FILE, where to, is not there");
  }
  if (steps.empty()) {
    options.first_step = std::max(first_step, std::min(first_step + kWarmup, total_steps - kSteps));
    options.end_step = std::min(options.first_step + kSteps, total_steps);
    return options;
  }
  const std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(steps, absl::MaxSplits(':', 1));
  if (!absl::SimpleAtoi(ends.first, &options.first_step) || !absl::SimpleAtoi(ends.second, &options.end_step) ||
      options.first_step < 0 || options.end_step <= options.first_step || options.end_step > total_steps) {
    return absl::InvalidArgumentError(absl::StrCat("--trace_steps=", steps,
                                                   ": say FROM:TO, steps counted from 0 and TO ",
                                                   "not included, within 0:", total_steps));
  }
  // A run that goes on may have some of these steps behind it, or all.
  if (options.end_step <= first_step) return TraceOptions();
  options.first_step = std::max(options.first_step, first_step);
  return options;
}

}  // namespace trireme

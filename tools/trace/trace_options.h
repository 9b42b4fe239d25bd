// What `--trace` and `--trace_steps` ask for.
#ifndef TRIREME_TOOLS_TRACE_TRACE_OPTIONS_H_
#define TRIREME_TOOLS_TRACE_TRACE_OPTIONS_H_

#include <cstdint>
#include <string>

#include "core/base/status.h"

namespace trireme {

struct TraceOptions {
  std::string file;  // empty: no trace
  // Steps [first, end), counted from 0.
  int64_t first_step = 0;
  int64_t end_step = 0;
};

// `steps` is "FROM:TO" (TO is not included), or empty for 20 steps after the first 5 of a run of [first_step,
// total_steps), as far as there are so many. Of a range that begins before first_step the rest, which
// may be no trace. InvalidArgument for what is no range of steps from 0 to total_steps.
StatusOr<TraceOptions> MakeTraceOptions(const std::string& file, const std::string& steps, int64_t first_step,
                                        int64_t total_steps);

}  // namespace trireme

#endif  // TRIREME_TOOLS_TRACE_TRACE_OPTIONS_H_

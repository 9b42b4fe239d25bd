// How far the clocks of a job's ranks are apart: ranks of one host share a clock, those of other hosts are asked, by
// messages to and fro of which the fastest is believed (Cristian: "Probabilistic clock synchronization", 1989).
#ifndef TRIREME_TOOLS_TRACE_CLOCK_OFFSET_H_
#define TRIREME_TOOLS_TRACE_CLOCK_OFFSET_H_

#include <cstdint>
#include <functional>

#include "core/api/communicator.h"

namespace trireme {

struct ClockOffset {
  int64_t nanoseconds = 0;  // to add to this rank's clock for rank 0's
  int64_t error = 0;        // at most; 0 where the clock is shared
};

// `clock_id` is equal on ranks that share a clock, `now` reads it. Collective, on the device's compute stream.
StatusOr<ClockOffset> EstimateClockOffset(Communicator& communicator, Device& device, const std::string& clock_id,
                                          const std::function<int64_t()>& now);

// A clock that all ranks can put their times on, without asking again.
struct JobClock {
  ClockOffset offset;
  int64_t zero = 0;  // of rank 0's clock: about when the ranks agreed
};
// The same, for rank 0's clock as all see it now.
StatusOr<JobClock> AgreeOnClock(Communicator& communicator, Device& device, const std::string& clock_id,
                                const std::function<int64_t()>& now);

// Of the steady clock of this host since it was started.
std::string ThisClockId();

}  // namespace trireme

#endif  // TRIREME_TOOLS_TRACE_CLOCK_OFFSET_H_

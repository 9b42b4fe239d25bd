// A trace of what a rank of a job does.
#ifndef TRIREME_TOOLS_JOB_TRACE_RANK_H_
#define TRIREME_TOOLS_JOB_TRACE_RANK_H_

#include <functional>

#include "core/api/communicator.h"
#include "tools/job/job.h"
#include "tools/trace/clock_offset.h"

namespace trireme {

// Calls `work`, and writes the trace that the job asks for, when all ranks have come to its end, or of this rank alone
// after a fault. `work` uses the communicator that it is given, whose calls are recorded, and sets the clock when the
// ranks have agreed on one. What a device throws in it is a fault, too.
Status TraceRank(const Job& job, Device& device, Communicator& communicator,
                 const std::function<Status(Communicator& traced, JobClock* clock)>& work);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_TRACE_RANK_H_

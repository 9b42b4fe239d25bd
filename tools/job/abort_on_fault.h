// A rank's work whose faults the other ranks hear of at once.
#ifndef TRIREME_TOOLS_JOB_ABORT_ON_FAULT_H_
#define TRIREME_TOOLS_JOB_ABORT_ON_FAULT_H_

#include <functional>

#include "core/api/communicator.h"

namespace trireme {

// What `work` returns, or a device or a component throws in it; a fault aborts the communicator. What has threads that
// may wait for peers, as a strategy, outlives this call: these would wait for ranks that wait for this one. A stop that
// all have agreed on (Cancelled) is no fault.
Status AbortOnFault(Communicator& communicator, const std::function<Status()>& work);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_ABORT_ON_FAULT_H_

// What is wrong in the data, wherever it was found.
#ifndef TRIREME_TOOLS_JOB_GATHER_FAULTS_H_
#define TRIREME_TOOLS_JOB_GATHER_FAULTS_H_

#include "core/api/communicator.h"
#include "core/base/fault_log.h"
#include "core/base/status.h"

namespace trireme {

// Adds to rank 0's log what the other ranks' have: each reads its own share of the images. Ranks of one process may
// share a log. Collective; fails as the communicator does.
Status GatherFaults(Communicator& communicator, Device& device, FaultLog* faults);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_GATHER_FAULTS_H_

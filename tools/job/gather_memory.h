// What the workers' devices gave out at most.
#ifndef TRIREME_TOOLS_JOB_GATHER_MEMORY_H_
#define TRIREME_TOOLS_JOB_GATHER_MEMORY_H_

#include <vector>

#include "core/api/communicator.h"
#include "core/device/device.h"

namespace trireme {

// By rank, the peaks alone. Collective.
StatusOr<std::vector<MemoryStats>> GatherMemory(Communicator& communicator, Device& device);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_GATHER_MEMORY_H_

// Where the workers of a job are.
#ifndef TRIREME_TOOLS_JOB_WORKER_PLACE_H_
#define TRIREME_TOOLS_JOB_WORKER_PLACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/api/communicator.h"

namespace trireme {

struct WorkerPlace {
  std::string host;
  int64_t process = 0;
  std::string device;
};

// Of all ranks, in their order. Collective.
StatusOr<std::vector<WorkerPlace>> GatherWorkerPlaces(Communicator& communicator, Device& device);

// A table for people, a line for each worker, with its share of `global_batch_size` images.
std::vector<std::string> WorkerTable(const std::vector<WorkerPlace>& workers, int64_t global_batch_size);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_WORKER_PLACE_H_

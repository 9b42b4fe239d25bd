#include "tools/job/worker_place.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "data/loader/sampler.h"

namespace trireme {

StatusOr<std::vector<WorkerPlace>> GatherWorkerPlaces(Communicator& communicator, Device& device) {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  const std::string mine = absl::StrCat(host, "\n", getpid(), "\n", device.name());
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> all, AllGatherStrings(communicator, mine, device));
  std::vector<WorkerPlace> workers;
  for (const std::string& text : all) {
    const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('\n', 2));
    WorkerPlace& worker = workers.emplace_back();
    if (parts.size() != 3 || !absl::SimpleAtoi(parts[1], &worker.process)) {
      return absl::InternalError("a peer says where it is in a form that this version does not know");
    }
    worker.host = parts[0];
    worker.device = parts[2];
  }
  return workers;
}

std::vector<std::string> WorkerTable(const std::vector<WorkerPlace>& workers, int64_t global_batch_size) {
  size_t host_width = 4, device_width = 6;
  for (const WorkerPlace& worker : workers) {
    host_width = std::max(host_width, worker.host.size());
    device_width = std::max(device_width, worker.device.size());
  }
  const auto line = [&](const std::string& rank, const std::string& host, const std::string& process,
                        const std::string& device, const std::string& images) {
    return absl::StrFormat("%5s  %-*s  %8s  %-*s  %s", rank, static_cast<int>(host_width), host, process,
                           static_cast<int>(device_width), device, images);
  };
  std::vector<std::string> table = {line("rank", "host", "process", "device", "images of a step")};
  const int64_t size = static_cast<int64_t>(workers.size());
  for (int64_t rank = 0; rank < size; ++rank) {
    const WorkerPlace& worker = workers[static_cast<size_t>(rank)];
    const BatchShare share = ShareOfBatch(global_batch_size, static_cast<int>(rank), static_cast<int>(size));
    table.push_back(line(absl::StrCat(rank), worker.host, absl::StrCat(worker.process), worker.device,
                         share.count == 0 ? "none" : absl::StrCat(share.first, " to ", share.first + share.count - 1)));
  }
  return table;
}

}  // namespace trireme

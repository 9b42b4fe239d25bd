#include "tools/job/local_device.h"

#include "core/device/device.h"

namespace trireme {

StatusOr<std::string> ChooseLocalDevice(const std::string& name, const std::optional<ProcessRank>& place,
                                        int num_gpus) {
  if (!place.has_value() || num_gpus < 2 || (name != "cuda" && name != "auto")) return name;
  if (place->local_rank < num_gpus) return absl::StrCat("cuda:", place->local_rank);
  return absl::FailedPreconditionError(absl::StrCat("rank ", place->rank, " is process ", place->local_rank + 1,
                                                    " on this machine, which has ", num_gpus,
                                                    " GPUs; start no more processes than GPUs, or use --device=cpu"));
}

StatusOr<std::string> DeviceOfThisProcess(const std::string& name) {
  TRIREME_ASSIGN_OR_RETURN(const auto place, FindProcessRank());
  return ChooseLocalDevice(name, place, place.has_value() ? NumGpus() : 0);
}

}  // namespace trireme

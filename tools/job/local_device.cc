#include "tools/job/local_device.h"

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

std::string WhyThisDevice(const std::string& asked, const Device& device) {
  if (asked != "auto") return "";
  if (device.kind() != DeviceKind::kCpu) return absl::StrCat("device auto: a GPU was found, ", device.name());
  const Status no_gpu = MakeDevice("cuda", 1).status();
  return absl::StrCat("device auto: ", device.name(), ", for there is no GPU to take (", no_gpu.message(), ")");
}

}  // namespace trireme

#include "tools/job/local_device.h"

#include <cstdlib>
#include <set>

#include "absl/strings/str_join.h"

namespace trireme {

namespace {

Status CheckDevices(const std::string& name, const std::vector<int>& devices, int num_gpus) {
  if (name != "cuda" && name != "auto") {
    return absl::InvalidArgumentError(absl::StrCat("devices is ", absl::StrJoin(devices, ","), " and device is \"",
                                                   name, "\"; leave one of them out"));
  }
  const std::set<int> distinct(devices.begin(), devices.end());
  if (distinct.size() != devices.size() || *distinct.begin() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("devices is ", absl::StrJoin(devices, ","), "; it has to list different GPUs, counted from 0"));
  }
  if (*distinct.rbegin() < num_gpus) return absl::OkStatus();
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return absl::FailedPreconditionError(absl::StrCat(
      "devices lists GPU ", *distinct.rbegin(), ", but this build finds ", num_gpus, " on this machine",
      visible == nullptr ? "" : absl::StrCat(" among those of CUDA_VISIBLE_DEVICES=", visible), ", counted from 0"));
}

}  // namespace

StatusOr<std::string> ChooseLocalDevice(const std::string& name, const std::vector<int>& devices,
                                        const std::optional<ProcessRank>& place, int num_gpus) {
  if (!devices.empty()) TRIREME_RETURN_IF_ERROR(CheckDevices(name, devices, num_gpus));
  if (!place.has_value() && devices.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("devices is ", absl::StrJoin(devices, ","),
                     ", but the workers of this job are in one process and share one GPU; name that one, or use "
                     "communicator { [communicator/nccl] {} }"));
  }
  const size_t local_rank = place.has_value() ? static_cast<size_t>(place->local_rank) : 0;
  if (!devices.empty() && local_rank < devices.size()) return absl::StrCat("cuda:", devices[local_rank]);
  if (devices.empty()) {
    if (!place.has_value() || num_gpus < 2 || (name != "cuda" && name != "auto")) return name;
    if (place->local_rank < num_gpus) return absl::StrCat("cuda:", place->local_rank);
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "rank ", place->rank, " is process ", place->local_rank + 1, " on this machine, which has ",
      devices.empty() ? num_gpus : static_cast<int>(devices.size()), " GPUs",
      devices.empty() ? "" : " for this job (devices)", "; start no more processes than GPUs, or use --device=cpu"));
}

StatusOr<std::string> DeviceOfThisProcess(const Config& config) {
  TRIREME_ASSIGN_OR_RETURN(const auto place, FindProcessRank());
  const std::vector<int> devices(config.devices().begin(), config.devices().end());
  return ChooseLocalDevice(config.device(), devices, place, place.has_value() || !devices.empty() ? NumGpus() : 0);
}

std::string WhyThisDevice(const std::string& asked, const Device& device) {
  if (asked != "auto") return "";
  if (device.kind() != DeviceKind::kCpu) return absl::StrCat("device auto: a GPU was found, ", device.name());
  const Status no_gpu = MakeDevice("cuda", 1).status();
  return absl::StrCat("device auto: ", device.name(), ", for there is no GPU to take (", no_gpu.message(), ")");
}

}  // namespace trireme

#include "tools/job/gather_faults.h"

#include "core/base/json_text.h"

namespace trireme {

Status GatherFaults(Communicator& communicator, Device& device, FaultLog* faults) {
  nlohmann::json mine = nlohmann::json::array();
  for (const Fault& fault : faults->all()) mine.push_back({fault.kind, fault.where, fault.message});
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> logs, AllGatherStrings(communicator, JsonText(mine), device));
  if (communicator.rank() != 0) return absl::OkStatus();
  for (size_t rank = 1; rank < logs.size(); ++rank) {
    for (const nlohmann::json& fault : nlohmann::json::parse(logs[rank])) {
      faults->Add(fault[0].get<std::string>(), fault[1].get<std::string>(), fault[2].get<std::string>());
    }
  }
  return absl::OkStatus();
}

}  // namespace trireme

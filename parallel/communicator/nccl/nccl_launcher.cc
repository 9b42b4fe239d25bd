// Registers "communicator/nccl".
#include "core/base/registry.h"
#include "parallel/communicator/nccl/nccl_communicator.h"
#include "parallel/communicator/nccl/nccl_communicator.pb.h"
#include "parallel/launch/process_launcher.h"

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Launcher>> MakeNccl(const NcclCommunicatorConfig& config, const Launcher::BuildArgs&) {
  const double timeout_seconds = config.timeout_seconds();
  if (!(timeout_seconds > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("timeout_seconds is ", timeout_seconds, "; it has to be more than 0"));
  }
  TRIREME_ASSIGN_OR_RETURN(NcclLibrary* const library, SystemNccl());
  ProcessLauncherOptions options;
  options.communicator = "communicator/nccl";
  options.timeout_seconds = timeout_seconds;
  return MakeProcessLauncher(options,
                             [library, timeout_seconds](const ProcessRank& place, std::shared_ptr<Store> store) {
                               NcclJobOptions job;
                               job.rank = place.rank;
                               job.size = place.world_size;
                               job.timeout_seconds = timeout_seconds;
                               return MakeNcclCommunicator(*library, std::move(store), job);
                             });
}

TRIREME_REGISTER_COMPONENT("communicator/nccl", Launcher, NcclCommunicatorConfig, MakeNccl);

}  // namespace
}  // namespace trireme

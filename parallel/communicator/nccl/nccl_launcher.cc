// Registers "communicator/nccl".
#include "core/base/registry.h"
#include "parallel/communicator/calls/calls.h"
#include "parallel/communicator/nccl/nccl_communicator.h"
#include "parallel/communicator/nccl/nccl_communicator.pb.h"
#include "parallel/launch/process_launcher.h"

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Launcher>> MakeNccl(const NcclCommunicatorConfig& config, const Launcher::BuildArgs&) {
  const double timeout_seconds = config.timeout_seconds();
  TRIREME_RETURN_IF_ERROR(CheckTimeout(timeout_seconds));
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

// Registers "communicator/gloo".
#include "core/base/registry.h"
#include "parallel/communicator/calls/calls.h"
#include "parallel/communicator/gloo/gloo_communicator.h"
#include "parallel/communicator/gloo/gloo_communicator.pb.h"
#include "parallel/launch/process_launcher.h"

namespace trireme {
namespace {

Status NowhereToListen(const ProcessRank& place) {
  return absl::FailedPreconditionError(
      absl::StrCat("the job is on several hosts, ", place.local_world_size, " of ", place.world_size,
                   " processes on this one, and meets in ", place.rendezvous,
                   ", which does not tell where they reach one another: set TRIREME_LISTEN_ON to an address of each "
                   "host that the others reach, or listen_on in communicator { [communicator/gloo] {} } to the name "
                   "of their network interface"));
}

StatusOr<std::unique_ptr<Launcher>> MakeGloo(const GlooCommunicatorConfig& config, const Launcher::BuildArgs&) {
  GlooJobOptions job;
  job.timeout_seconds = config.timeout_seconds();
  job.listen_on = config.listen_on();
  TRIREME_RETURN_IF_ERROR(CheckTimeout(job.timeout_seconds));
  ProcessLauncherOptions options;
  options.communicator = "communicator/gloo";
  options.timeout_seconds = job.timeout_seconds;
  return MakeProcessLauncher(
      options,
      [job](const ProcessRank& place, std::shared_ptr<Store> store) -> StatusOr<std::unique_ptr<Communicator>> {
        GlooJobOptions mine = job;
        mine.rank = place.rank;
        mine.size = place.world_size;
        if (mine.listen_on.empty()) mine.listen_on = place.listen_on;
        if (mine.listen_on.empty() && place.local_world_size < place.world_size) return NowhereToListen(place);
        if (mine.listen_on.empty()) mine.listen_on = GlooJobOptions().listen_on;
        return MakeGlooCommunicator(std::move(store), mine);
      });
}

TRIREME_REGISTER_COMPONENT("communicator/gloo", Launcher, GlooCommunicatorConfig, MakeGloo);

}  // namespace
}  // namespace trireme

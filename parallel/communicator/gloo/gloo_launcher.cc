// Registers "communicator/gloo".
#include "core/base/registry.h"
#include "parallel/communicator/calls/calls.h"
#include "parallel/communicator/gloo/gloo_communicator.h"
#include "parallel/communicator/gloo/gloo_communicator.pb.h"
#include "parallel/launch/process_launcher.h"

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Launcher>> MakeGloo(const GlooCommunicatorConfig& config, const Launcher::BuildArgs&) {
  GlooJobOptions job;
  job.timeout_seconds = config.timeout_seconds();
  job.listen_on = config.listen_on();
  TRIREME_RETURN_IF_ERROR(CheckTimeout(job.timeout_seconds));
  ProcessLauncherOptions options;
  options.communicator = "communicator/gloo";
  options.timeout_seconds = job.timeout_seconds;
  return MakeProcessLauncher(options, [job](const ProcessRank& place, std::shared_ptr<Store> store) {
    GlooJobOptions mine = job;
    mine.rank = place.rank;
    mine.size = place.world_size;
    if (mine.listen_on.empty()) mine.listen_on = place.listen_on;
    if (mine.listen_on.empty()) mine.listen_on = GlooJobOptions().listen_on;
    return MakeGlooCommunicator(std::move(store), mine);
  });
}

TRIREME_REGISTER_COMPONENT("communicator/gloo", Launcher, GlooCommunicatorConfig, MakeGloo);

}  // namespace
}  // namespace trireme

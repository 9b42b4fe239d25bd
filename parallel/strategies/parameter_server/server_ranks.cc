// "server_ranks/parameter_server": how many ranks beside the workers the strategy wants.
#include "core/api/server_ranks.h"

#include "core/base/registry.h"
#include "parallel/strategies/parameter_server/roles.h"

namespace trireme {
namespace {

class OwnRanks : public ServerRanks {
 public:
  explicit OwnRanks(int count) : count_(count) {}
  int count() const override { return count_; }

 private:
  const int count_;
};

StatusOr<std::unique_ptr<ServerRanks>> MakeServerRanks(const ParameterServerConfig& config,
                                                       const ServerRanks::BuildArgs& args) {
  TRIREME_RETURN_IF_ERROR(CheckParameterServer(config));
  if (config.placement() != ParameterServerConfig::OWN_RANKS) return std::unique_ptr<ServerRanks>(new OwnRanks(0));
  const int servers = config.num_servers() == 0 ? args.workers : config.num_servers();
  return std::unique_ptr<ServerRanks>(new OwnRanks(servers));
}

TRIREME_REGISTER_COMPONENT("server_ranks/parameter_server", ServerRanks, ParameterServerConfig, MakeServerRanks);

}  // namespace
}  // namespace trireme

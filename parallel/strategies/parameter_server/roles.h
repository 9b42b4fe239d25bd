// Which ranks of a job work and which serve, by a configuration.
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_ROLES_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_ROLES_H_

#include <string>

#include "core/base/status.h"
#include "parallel/strategies/parameter_server/parameter_server.pb.h"

namespace trireme {

// Workers are ranks 0 to workers-1, and servers the first of them, or the ranks behind them.
struct ServerRoles {
  int workers = 1, servers = 1;
  bool own_ranks = false;

  int RankOfServer(int server) const { return own_ranks ? workers + server : server; }
  // The server that a rank is; -1: none.
  int ServerOfRank(int rank) const {
    const int server = own_ranks ? rank - workers : rank;
    return server >= 0 && server < servers ? server : -1;
  }
  bool works(int rank) const { return rank < workers; }
  // The worker that looks at a server's sums where a guard has to see all of them before the update.
  int InspectorOf(int server) const { return server % workers; }
  // For sentences: "server 0 of 2 (rank 3)".
  std::string NameOfServer(int server) const;
};

// InvalidArgument for what makes no sense, whatever the job.
Status CheckParameterServer(const ParameterServerConfig& config);

// Of a job of so many ranks; InvalidArgument if it has no room for the servers.
StatusOr<ServerRoles> RolesOf(const ParameterServerConfig& config, int ranks);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_ROLES_H_

#include "parallel/strategies/parameter_server/roles.h"

#include "absl/strings/str_cat.h"
#include "parallel/strategies/bucket_stream.h"
#include "parallel/strategies/parameter_server/push_sum.h"

namespace trireme {

std::string ServerRoles::NameOfServer(int server) const {
  return absl::StrCat("server ", server, " of ", servers, " (rank ", RankOfServer(server), ")");
}

Status CheckParameterServer(const ParameterServerConfig& config) {
  TRIREME_RETURN_IF_ERROR(CheckBuckets(config.buckets()));
  constexpr int kMostServers = 1 << 16;
  if (config.num_servers() < 0 || config.num_servers() > kMostServers) {
    return absl::InvalidArgumentError(absl::StrCat("num_servers is ", config.num_servers(), "; it has to be from 1 to ",
                                                   kMostServers, ", or 0 for as many as workers"));
  }
  if (config.staleness() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("staleness is ", config.staleness(), "; it has to be at least 0 steps"));
  }
  if (config.meet_every_steps() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("meet_every_steps is ", config.meet_every_steps(), "; it has to be at least 1"));
  }
  return absl::OkStatus();
}

StatusOr<ServerRoles> RolesOf(const ParameterServerConfig& config, int ranks) {
  ServerRoles roles;
  roles.own_ranks = config.placement() == ParameterServerConfig::OWN_RANKS;
  roles.servers = config.num_servers();
  if (roles.own_ranks) {
    if (roles.servers == 0) roles.servers = ranks / 2;
    roles.workers = ranks - roles.servers;
    if (roles.servers < 1 || roles.workers < 1) {
      return absl::InvalidArgumentError(absl::StrCat("a job of ", ranks, " ranks has no room for ",
                                                     config.num_servers(), " servers with ranks of their own"));
    }
  } else {
    if (roles.servers == 0) roles.servers = ranks;
    roles.workers = ranks;
    if (roles.servers > roles.workers) {
      return absl::InvalidArgumentError(
          absl::StrCat("num_servers is ", roles.servers, ", and there are ", roles.workers,
                       " workers to serve beside their work; lower it, raise `workers`, or say placement: OWN_RANKS"));
    }
  }
  if (roles.workers > kMaxPushSources) {
    return absl::InvalidArgumentError(
        absl::StrCat("a server takes the pushes of at most ", kMaxPushSources, " workers, not ", roles.workers));
  }
  return roles;
}

}  // namespace trireme

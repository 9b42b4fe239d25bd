#include "tools/job/server_ranks.h"

#include "absl/strings/strip.h"
#include "core/api/server_ranks.h"
#include "core/base/registry.h"

namespace trireme {

StatusOr<int> NumServerRanks(const Config& config) {
  google::protobuf::Any any = config.strategy();
  absl::string_view name = any.type_url();
  if (!absl::ConsumePrefix(&name, "strategy/")) return 0;
  any.set_type_url(absl::StrCat(ServerRanks::kKind, "/", name));
  if (ComponentRegistry::Global().FindOrNull(any.type_url()) == nullptr) return 0;
  TRIREME_ASSIGN_OR_RETURN(const auto ranks, CreateComponent<ServerRanks>(any, "strategy", {config.workers()}));
  return ranks->count();
}

StatusOr<int> NumWorkersAmong(int ranks, const Config& config) {
  Config tried = config;
  for (int workers = ranks; workers > 0; --workers) {
    tried.set_workers(workers);
    TRIREME_ASSIGN_OR_RETURN(const int servers, NumServerRanks(tried));
    if (workers + servers == ranks) return workers;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the job has ", ranks, ranks == 1 ? " rank" : " ranks",
                   ", which do not divide into workers and the servers that the "
                   "strategy wants beside them; start others, or change its num_servers"));
}

}  // namespace trireme

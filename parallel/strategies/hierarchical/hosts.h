// Which ranks share a host, and the two rings that follow from it.
#ifndef TRIREME_PARALLEL_STRATEGIES_HIERARCHICAL_HOSTS_H_
#define TRIREME_PARALLEL_STRATEGIES_HIERARCHICAL_HOSTS_H_

#include <string>
#include <vector>

#include "core/base/status.h"
#include "parallel/strategies/ring/ring.h"

namespace trireme {

struct HostRings {
  Ring inside;  // the ranks of this rank's host
  Ring across;  // the ranks of the same place on each host
};

// `host_of` names the host of each rank. FailedPrecondition, with the counts, if hosts have different numbers of ranks.
StatusOr<HostRings> MakeHostRings(const std::vector<std::string>& host_of, int rank);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_HIERARCHICAL_HOSTS_H_

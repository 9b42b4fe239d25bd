// Ranks of a job that are no workers, but serve them (see core/api/server_ranks.h).
#ifndef TRIREME_TOOLS_JOB_SERVER_RANKS_H_
#define TRIREME_TOOLS_JOB_SERVER_RANKS_H_

#include "core/base/status.h"
#include "core/config/config.pb.h"

namespace trireme {

// As many as the config's strategy wants beside its workers.
StatusOr<int> NumServerRanks(const Config& config);
// The workers of a job of so many ranks, where the config does not say how many; InvalidArgument if no number fits.
StatusOr<int> NumWorkersAmong(int ranks, const Config& config);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_SERVER_RANKS_H_

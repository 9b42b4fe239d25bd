// What rank 0 does alone for longer than its peers may wait: a checkpoint on a slow disk.
#ifndef TRIREME_CORE_TRAIN_RANK_ZERO_WORK_H_
#define TRIREME_CORE_TRAIN_RANK_ZERO_WORK_H_

#include <functional>

#include "core/api/communicator.h"
#include "core/device/device.h"

namespace trireme {

// Collective, on the device's compute stream: returns on all ranks when rank 0 has done `work`, however long it takes;
// a peer that is gone meanwhile is a fault as ever, but rank 0 first ends its work, as long as whoever watches over the
// processes lets it. `work` is called on rank 0 only, on a thread of its own where there are peers and the system has
// one, and does not use the device. Rank 0 returns what it says, or Internal with what it throws; its peers are OK
// then.
Status WhileRankZeroWorks(Communicator& communicator, Device& device, const std::function<Status()>& work);

// The same for work that has parts, none of which takes long, and that uses the device: rank 0 calls it between two
// parts, its peers until it returns false. `more` is rank 0's word on whether there is another part.
StatusOr<bool> RankZeroHasMore(Communicator& communicator, Device& device, bool more);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_RANK_ZERO_WORK_H_

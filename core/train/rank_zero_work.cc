#include "core/train/rank_zero_work.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <future>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace trireme {

StatusOr<bool> RankZeroHasMore(Communicator& communicator, Device& device, bool more) {
  if (communicator.size() == 1) return more;
  const Tensor flag = Tensor::From(device, {1}, std::vector<int32_t>{more ? 1 : 0});
  TRIREME_RETURN_IF_ERROR(communicator.Broadcast(flag, 0, device.compute_stream()));
  const bool is_more = flag.ToVector<int32_t>()[0] != 0;
  if (!device.compute_stream().is_inline()) TRIREME_RETURN_IF_ERROR(communicator.status());
  return is_more;
}

Status WhileRankZeroWorks(Communicator& communicator, Device& device, const std::function<Status()>& work) {
  // Of the library: no memory, a folder that cannot be read on.
  const auto caught = [&work]() -> Status {
    try {
      return work();
    } catch (const std::exception& fault) {
      return absl::InternalError(absl::StrCat("in what rank 0 does for all: ", fault.what()));
    }
  };
  if (communicator.size() == 1) return caught();
  std::future<Status> done;  // whose destructor waits
  Status worked;
  if (communicator.rank() == 0) {
    try {
      done = std::async(std::launch::async, caught);
    } catch (const std::system_error&) {
      // No thread is to be had. Peers wait as long as they may.
      worked = caught();
    }
  }
  const std::chrono::duration<double> beat(std::min(0.2, communicator.timeout_seconds() / 4));
  for (bool more = true; more;) {
    const bool works = done.valid() && done.wait_for(beat) != std::future_status::ready;
    TRIREME_ASSIGN_OR_RETURN(more, RankZeroHasMore(communicator, device, works));
  }
  return done.valid() ? done.get() : worked;
}

}  // namespace trireme

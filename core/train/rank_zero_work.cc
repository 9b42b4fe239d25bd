#include "core/train/rank_zero_work.h"

#include <algorithm>
#include <chrono>
#include <future>

namespace trireme {

StatusOr<bool> RankZeroHasMore(Communicator& communicator, Device& device, bool more) {
  if (communicator.size() == 1) return more;
  const Tensor flag = Tensor::From(device, {1}, std::vector<int32_t>{more ? 1 : 0});
  TRIREME_RETURN_IF_ERROR(communicator.Broadcast(flag, 0, device.compute_stream()));
  const bool is_more = flag.ToVector<int32_t>()[0] != 0;
  if (!device.compute_stream().is_inline()) TRIREME_RETURN_IF_ERROR(communicator.status());
  return is_more;
}

Status WhileRankZeroWorks(Communicator& communicator, Device& device, const std::function<void()>& work) {
  if (communicator.size() == 1) {
    work();
    return absl::OkStatus();
  }
  std::future<void> done;  // whose destructor waits
  if (communicator.rank() == 0) done = std::async(std::launch::async, work);
  const std::chrono::duration<double> beat(std::min(0.2, communicator.timeout_seconds() / 4));
  for (bool more = true; more;) {
    const bool works = done.valid() && done.wait_for(beat) != std::future_status::ready;
    TRIREME_ASSIGN_OR_RETURN(more, RankZeroHasMore(communicator, device, works));
  }
  return absl::OkStatus();
}

}  // namespace trireme

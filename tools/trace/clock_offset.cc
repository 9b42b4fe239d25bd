#include "tools/trace/clock_offset.h"

#include <unistd.h>

#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"

namespace trireme {
namespace {

constexpr int kMessages = 16;

}  // namespace

StatusOr<ClockOffset> EstimateClockOffset(Communicator& communicator, Device& device, const std::string& clock_id,
                                          const std::function<int64_t()>& now) {
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> ids, AllGatherStrings(communicator, clock_id, device));
  const int rank = communicator.rank();
  Stream& stream = device.compute_stream();
  ClockOffset mine;
  for (int peer = 1; peer < communicator.size(); ++peer) {
    if (ids[static_cast<size_t>(peer)] == ids[0] || (rank != 0 && rank != peer)) continue;
    const int other = rank == 0 ? peer : 0;
    int64_t fastest = std::numeric_limits<int64_t>::max();
    // The peer asks, as it is the peer who wants to know.
    for (int i = 0; i < kMessages; ++i) {
      if (rank == 0) {
        const Tensor question = Tensor::Zeros(device, {1}, DataType::kInt64);
        TRIREME_RETURN_IF_ERROR(communicator.Receive(question, other, stream));
        stream.Synchronize();
        const Tensor answer = Tensor::From(device, {1}, std::vector<int64_t>{now()});
        TRIREME_RETURN_IF_ERROR(communicator.Send(answer, other, stream));
        stream.Synchronize();
        continue;
      }
      const Tensor question = Tensor::From(device, {1}, std::vector<int64_t>{i});
      const Tensor answer = Tensor::Zeros(device, {1}, DataType::kInt64);
      stream.Synchronize();
      const int64_t asked = now();
      TRIREME_RETURN_IF_ERROR(communicator.Send(question, other, stream));
      TRIREME_RETURN_IF_ERROR(communicator.Receive(answer, other, stream));
      const int64_t theirs = answer.ToVector<int64_t>()[0];
      const int64_t answered = now();
      if (answered - asked >= fastest) continue;
      fastest = answered - asked;
      mine.nanoseconds = theirs - (asked + fastest / 2);
      mine.error = (fastest + 1) / 2;
    }
  }
  TRIREME_RETURN_IF_ERROR(communicator.status());
  return mine;
}

StatusOr<JobClock> AgreeOnClock(Communicator& communicator, Device& device, const std::string& clock_id,
                                const std::function<int64_t()>& now) {
  JobClock clock;
  TRIREME_ASSIGN_OR_RETURN(clock.offset, EstimateClockOffset(communicator, device, clock_id, now));
  const Tensor zero = Tensor::From(device, {1}, std::vector<int64_t>{now()});
  Stream& stream = device.compute_stream();
  if (communicator.size() > 1) TRIREME_RETURN_IF_ERROR(communicator.Broadcast(zero, 0, stream));
  clock.zero = zero.ToVector<int64_t>()[0];
  TRIREME_RETURN_IF_ERROR(communicator.status());
  return clock;
}

std::string ThisClockId() {
  const auto boot = ReadFile("/proc/sys/kernel/random/boot_id");
  if (boot.ok()) return *boot;
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  return host;
}

}  // namespace trireme

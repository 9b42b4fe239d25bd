// The communicator of a worker that is alone: every collective call has happened when it is made. For what is written
// for many workers and is to work for each by itself.
#ifndef TRIREME_CORE_API_LONE_COMMUNICATOR_H_
#define TRIREME_CORE_API_LONE_COMMUNICATOR_H_

#include <memory>
#include <vector>

#include "core/api/communicator.h"

namespace trireme {

class LoneCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Status AllReduce(const Tensor&, ReduceOperation, Stream&) override { return absl::OkStatus(); }
  Status ReduceScatter(const Tensor&, ReduceOperation, Stream&) override { return absl::OkStatus(); }
  Status AllGather(const Tensor&, Stream&) override { return absl::OkStatus(); }
  Status Broadcast(const Tensor&, int, Stream&) override { return absl::OkStatus(); }
  Status Barrier(Stream&) override { return absl::OkStatus(); }
  // There is nobody to send to.
  Status Send(const Tensor&, int, Stream&) override { return NoPeer(); }
  Status Receive(const Tensor&, int, Stream&) override { return NoPeer(); }
  Status SendReceive(const Tensor&, int, const Tensor&, int, Stream&) override { return NoPeer(); }
  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return Another(); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>& ranks) override {
    CheckSubset(*this, ranks);
    return Another();
  }
  bool can_capture() const override { return true; }
  Status status() const override { return absl::OkStatus(); }
  void Abort(const Status&) override {}
  int64_t bytes_sent() const override { return 0; }
  double busy_seconds() const override { return 0; }

 private:
  static std::unique_ptr<Communicator> Another() { return std::make_unique<LoneCommunicator>(); }
  static Status NoPeer() { return absl::InternalError("a worker that is alone has no peer"); }
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_LONE_COMMUNICATOR_H_

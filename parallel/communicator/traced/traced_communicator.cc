#include "parallel/communicator/traced/traced_communicator.h"

#include <utility>
#include <vector>

#include "core/device/stream_span.h"

namespace trireme {
namespace {

class TracedCommunicator : public Communicator {
 public:
  explicit TracedCommunicator(Communicator& inner) : inner_(inner) {}
  explicit TracedCommunicator(std::unique_ptr<Communicator> inner) : owned_(std::move(inner)), inner_(*owned_) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }

  Status AllReduce(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "AllReduce", -1, tensor.bytes());
    return inner_.AllReduce(tensor, operation, stream);
  }
  Status ReduceScatter(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "ReduceScatter", -1, tensor.bytes());
    return inner_.ReduceScatter(tensor, operation, stream);
  }
  Status AllGather(const Tensor& tensor, Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "AllGather", -1, tensor.bytes());
    return inner_.AllGather(tensor, stream);
  }
  Status Broadcast(const Tensor& tensor, int root, Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "Broadcast", -1, tensor.bytes());
    return inner_.Broadcast(tensor, root, stream);
  }
  Status Send(const Tensor& tensor, int to, Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "Send", -1, tensor.bytes());
    return inner_.Send(tensor, to, stream);
  }
  Status Receive(const Tensor& tensor, int from, Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "Receive", -1, tensor.bytes());
    return inner_.Receive(tensor, from, stream);
  }
  Status SendReceive(const Tensor& send, int to, const Tensor& receive, int from, Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "SendReceive", -1, send.bytes());
    return inner_.SendReceive(send, to, receive, from, stream);
  }
  Status Barrier(Stream& stream) override {
    const StreamSpan span(stream, TraceKind::kCommunication, "Barrier");
    return inner_.Barrier(stream);
  }

  StatusOr<std::unique_ptr<Communicator>> Duplicate() override {
    TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> duplicate, inner_.Duplicate());
    return std::unique_ptr<Communicator>(std::make_unique<TracedCommunicator>(std::move(duplicate)));
  }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>& ranks) override {
    TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> subset, inner_.Subset(ranks));
    if (subset == nullptr) return subset;
    return std::unique_ptr<Communicator>(std::make_unique<TracedCommunicator>(std::move(subset)));
  }

  bool can_capture() const override { return inner_.can_capture(); }
  double timeout_seconds() const override { return inner_.timeout_seconds(); }
  Status status() const override { return inner_.status(); }
  void Abort(const Status& reason) override { inner_.Abort(reason); }
  int64_t bytes_sent() const override { return inner_.bytes_sent(); }
  double busy_seconds() const override { return inner_.busy_seconds(); }

 private:
  const std::unique_ptr<Communicator> owned_;
  Communicator& inner_;
};

}  // namespace

std::unique_ptr<Communicator> TraceCommunicator(Communicator& communicator) {
  return std::make_unique<TracedCommunicator>(communicator);
}

}  // namespace trireme

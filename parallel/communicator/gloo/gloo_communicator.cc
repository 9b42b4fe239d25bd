#include "parallel/communicator/gloo/gloo_communicator.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "parallel/communicator/calls/busy_clock.h"
#include "parallel/communicator/calls/calls.h"
#include "parallel/communicator/gloo/gloo_transfers.h"

namespace trireme {
namespace {

class GlooCommunicator : public Communicator {
 public:
  GlooCommunicator(std::shared_ptr<GlooJob> job, GlooChannel* channel) : job_(std::move(job)), channel_(*channel) {}

  int rank() const override { return channel_.place(); }
  int size() const override { return channel_.size(); }
  // One that is alone has nobody to wait for, and may be recorded.
  bool can_capture() const override { return size() == 1; }

  Status AllReduce(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    CheckReducible(tensor);
    return AmongAll(
        DescribeCall("AllReduce", tensor, operation), tensor, 2 * tensor.bytes() * (size() - 1) / size(), stream,
        [this, tensor, operation](const GlooCall& call) { AllReduceByGloo(channel_, call, tensor, operation); });
  }

  Status ReduceScatter(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    CheckReducible(tensor);
    CheckDivides(tensor, *this);
    return AmongAll(
        DescribeCall("ReduceScatter", tensor, operation), tensor, tensor.bytes() / size() * (size() - 1), stream,
        [this, tensor, operation](const GlooCall& call) { ReduceScatterInRing(channel_, call, tensor, operation); });
  }

  Status AllGather(const Tensor& tensor, Stream& stream) override {
    CheckDivides(tensor, *this);
    return AmongAll(DescribeCall("AllGather", tensor), tensor, tensor.bytes() / size() * (size() - 1), stream,
                    [this, tensor](const GlooCall& call) { AllGatherByGloo(channel_, call, tensor); });
  }

  Status Broadcast(const Tensor& tensor, int root, Stream& stream) override {
    CheckRank(root, *this);
    return AmongAll(absl::StrCat(DescribeCall("Broadcast", tensor), " from rank ", Named(root)), tensor,
                    tensor.bytes() * NumBroadcastSends(rank(), size(), root), stream,
                    [this, tensor, root](const GlooCall& call) { BroadcastByGloo(channel_, call, tensor, root); });
  }

  Status Send(const Tensor& tensor, int to, Stream& stream) override {
    return Pass(absl::StrCat(DescribeCall("Send", tensor), " to rank ", Named(to)), tensor, to, Tensor(), -1, stream);
  }

  Status Receive(const Tensor& tensor, int from, Stream& stream) override {
    return Pass(absl::StrCat(DescribeCall("Receive", tensor), " from rank ", Named(from)), Tensor(), -1, tensor, from,
                stream);
  }

  Status SendReceive(const Tensor& send, int to, const Tensor& receive, int from, Stream& stream) override {
    return Pass(absl::StrCat(DescribeCall("SendReceive", send), " to rank ", Named(to), " and ", receive.bytes(),
                             " bytes from rank ", Named(from)),
                send, to, receive, from, stream);
  }

  Status Barrier(Stream& stream) override {
    return Run(stream, [this] {
      if (size() == 1) return job_->fault();
      const GlooCall call = NextCall("Barrier");
      return job_->Call(&channel_, call, [&] { BarrierByGloo(channel_, call); });
    });
  }

  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return Found("Duplicate", AllRanks(size())); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>& ranks) override {
    CheckSubset(*this, ranks);
    return Found(absl::StrCat("Subset of ranks ", absl::StrJoin(ranks, ", ")), ranks);
  }

  double timeout_seconds() const override { return job_->options().timeout_seconds; }
  Status status() const override { return job_->fault(); }
  void Abort(const Status& reason) override {
    CHECK(!reason.ok()) << "a job is aborted for a reason";
    job_->Fail(reason).IgnoreError();
  }

  int64_t bytes_sent() const override { return job_->bytes_sent().load(std::memory_order_relaxed); }
  double busy_seconds() const override { return busy_.seconds(); }

 private:
  // Null on a rank that is not among `ranks`.
  StatusOr<std::unique_ptr<Communicator>> Found(const std::string& what, const std::vector<int>& ranks) {
    TRIREME_RETURN_IF_ERROR(job_->fault());
    if (size() > 1) {
      const GlooCall call = NextCall(what);
      TRIREME_RETURN_IF_ERROR(job_->Call(&channel_, call, [&] { BarrierByGloo(channel_, call); }));
    }
    const std::string name = absl::StrCat(channel_.name(), "-", ++channel_.num_children);
    if (std::find(ranks.begin(), ranks.end(), rank()) == ranks.end()) return std::unique_ptr<Communicator>();
    std::vector<int> members;
    for (int place : ranks) members.push_back(channel_.member(place));
    TRIREME_ASSIGN_OR_RETURN(GlooChannel* const channel, job_->NewChannel(name, members));
    return std::unique_ptr<Communicator>(std::make_unique<GlooCommunicator>(job_, channel));
  }

  // For sentences. A rank that there is not is reported where it is checked.
  int Named(int rank) const { return rank >= 0 && rank < size() ? channel_.member(rank) : rank; }

  GlooCall NextCall(const std::string& what) {
    GlooCall call;
    call.number = ++channel_.tally.calls;
    call.description = absl::StrCat(what, " (call ", call.number, ")");
    return call;
  }

  Status AmongAll(std::string what, const Tensor& tensor, int64_t sent, Stream& stream,
                  std::function<void(const GlooCall& call)> body) {
    return Run(stream, [this, what = std::move(what), empty = tensor.size() == 0, sent, body = std::move(body)] {
      const GlooCall call = NextCall(what);
      if (size() == 1 || empty) return job_->fault();
      TRIREME_RETURN_IF_ERROR(job_->Call(&channel_, call, [&] { body(call); }));
      CountSent(sent);
      return absl::OkStatus();
    });
  }

  // An undefined tensor leaves that side out.
  Status Pass(std::string what, const Tensor& send, int to, const Tensor& receive, int from, Stream& stream) {
    if (send.defined()) CheckPeer(to, *this);
    if (receive.defined()) CheckPeer(from, *this);
    return Run(stream, [this, what = std::move(what), send, to, receive, from] {
      GlooCall call;
      call.description = what;
      if (send.defined()) {
        call.to = to;
        call.send_number = ++channel_.tally.sent[static_cast<size_t>(to)];
        call.send_bytes = send.bytes();
      }
      if (receive.defined()) {
        call.from = from;
        call.receive_number = ++channel_.tally.received[static_cast<size_t>(from)];
        call.receive_bytes = receive.bytes();
      }
      TRIREME_RETURN_IF_ERROR(job_->Call(&channel_, call, [&] { PassMessages(channel_, call, send, receive); }));
      CountSent(call.send_bytes);
      return absl::OkStatus();
    });
  }

  void CountSent(int64_t bytes) { job_->bytes_sent().fetch_add(bytes, std::memory_order_relaxed); }

  Status Run(Stream& stream, std::function<Status()> work) {
    if (stream.device().kind() != DeviceKind::kCpu) {
      return job_->Fail(absl::FailedPreconditionError(
          absl::StrCat("[communicator/gloo] moves the memory of CPUs, but this worker computes on ",
                       stream.device().name(), "; say --device=cpu, or use [communicator/nccl]")));
    }
    if (stream.is_inline()) return busy_.Time(work);
    stream.Enqueue([this, work = std::move(work)] { busy_.Time(work).IgnoreError(); });  // the job has it
    return job_->fault();
  }

  const std::shared_ptr<GlooJob> job_;
  GlooChannel& channel_;
  BusyClock busy_;
};

}  // namespace

StatusOr<std::unique_ptr<Communicator>> MakeGlooCommunicator(std::shared_ptr<Store> store,
                                                             const GlooJobOptions& options) {
  TRIREME_ASSIGN_OR_RETURN(const std::shared_ptr<GlooJob> job, GlooJob::Start(std::move(store), options));
  TRIREME_ASSIGN_OR_RETURN(GlooChannel* const channel, job->NewChannel("all", AllRanks(options.size)));
  return std::unique_ptr<Communicator>(std::make_unique<GlooCommunicator>(job, channel));
}

}  // namespace trireme

#include "parallel/communicator/nccl/nccl_communicator.h"

#include <glog/logging.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "parallel/communicator/calls/busy_clock.h"
#include "parallel/communicator/calls/calls.h"

namespace trireme {
namespace {

// Tells all ranks which GPUs the others have, and refuses what NCCL cannot do.
Status CheckGpus(NcclJob& job) {
  const int rank = job.options().rank;
  TRIREME_ASSIGN_OR_RETURN(const NcclLibrary::Gpu mine, job.library().GpuOfThisThread());
  const std::string version = job.library().version();
  TRIREME_RETURN_IF_ERROR(
      job.store().Set(absl::StrCat("gpu.", rank), absl::StrCat(version, "\n", mine.identity, "\n", mine.name)));
  for (int peer = 0; peer < job.options().size; ++peer) {
    if (peer == rank) continue;
    TRIREME_ASSIGN_OR_RETURN(const std::string text,
                             job.Wait(absl::StrCat("gpu.", peer), absl::StrCat("rank ", peer, " to find its GPU")));
    const std::vector<std::string> theirs = absl::StrSplit(text, '\n');
    if (theirs.size() != 3) return absl::InternalError(absl::StrCat("rank ", peer, " described its GPU by ", text));
    if (theirs[0] != version) {
      return absl::FailedPreconditionError(absl::StrCat("rank ", rank, " has NCCL ", version, " and rank ", peer,
                                                        " NCCL ", theirs[0], "; install one version on all hosts"));
    }
    if (theirs[1] == mine.identity) {
      return absl::FailedPreconditionError(
          absl::StrCat("ranks ", std::min(rank, peer), " and ", std::max(rank, peer), " are both on ", mine.name,
                       ", and NCCL needs a GPU for each; use fewer workers, or [communicator/threads], which runs "
                       "several on one GPU"));
    }
  }
  return absl::OkStatus();
}

// The memory that the watch reads, and that a barrier needs.
Status AddMemory(NcclJob& job, NcclChannel* channel) {
  TRIREME_ASSIGN_OR_RETURN(const std::shared_ptr<void> memory, job.library().NewSharedMemory(sizeof(NcclProgress)));
  TRIREME_ASSIGN_OR_RETURN(channel->word, job.library().NewDeviceMemory(sizeof(int32_t)));
  std::lock_guard<std::mutex> lock(channel->mutex);
  channel->memory = memory;
  channel->progress = static_cast<NcclProgress*>(memory.get());
  return absl::OkStatus();
}

StatusOr<NcclChannel*> JoinAll(NcclJob& job) {
  TRIREME_RETURN_IF_ERROR(CheckGpus(job));
  if (job.options().rank == 0) {
    TRIREME_ASSIGN_OR_RETURN(const std::string id, job.library().NewId());
    TRIREME_RETURN_IF_ERROR(job.store().Set("nccl_id", id));
  }
  TRIREME_ASSIGN_OR_RETURN(const std::string id, job.Wait("nccl_id", "rank 0 to open NCCL"));
  NcclChannel* channel = job.AddChannel(AllRanks(job.options().size));
  TRIREME_RETURN_IF_ERROR(AddMemory(job, channel));
  TRIREME_RETURN_IF_ERROR(job.Call(channel, "connecting by NCCL", [&](NcclLibrary::Channel) {
    return job.library().Join(id, job.options().rank, job.options().size, &channel->channel);
  }));
  return channel;
}

class NcclCommunicator : public Communicator {
 public:
  // The first of a job, which connects when it is used.
  explicit NcclCommunicator(std::shared_ptr<NcclJob> job)
      : job_(std::move(job)), rank_(job_->options().rank), members_(AllRanks(job_->options().size)) {}
  // One over a channel that there is, of which this rank is a member.
  NcclCommunicator(std::shared_ptr<NcclJob> job, int rank, NcclChannel* channel)
      : job_(std::move(job)), rank_(rank), members_(channel->members), channel_(channel) {}
  ~NcclCommunicator() override {
    if (channel_ != nullptr) job_->EndChannel(channel_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  bool can_capture() const override { return true; }

  Status AllReduce(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    CheckReducible(tensor);
    return Run(DescribeCall("AllReduce", tensor, operation), tensor.size(), 2 * tensor.bytes() * (size_ - 1) / size_,
               stream, [&](NcclLibrary::Channel channel) {
                 return library().AllReduce(channel, tensor.raw(), tensor.size(), tensor.type(), operation, stream);
               });
  }

  Status ReduceScatter(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    CheckReducible(tensor);
    const Tensor part = Part(tensor);
    return Run(DescribeCall("ReduceScatter", tensor, operation), tensor.size(), part.bytes() * (size_ - 1), stream,
               [&](NcclLibrary::Channel channel) {
                 return library().ReduceScatter(channel, tensor.raw(), part.raw(), part.size(), tensor.type(),
                                                operation, stream);
               });
  }

  Status AllGather(const Tensor& tensor, Stream& stream) override {
    const Tensor part = Part(tensor);
    return Run(DescribeCall("AllGather", tensor), tensor.size(), part.bytes() * (size_ - 1), stream,
               [&](NcclLibrary::Channel channel) {
                 return library().AllGather(channel, part.raw(), tensor.raw(), part.bytes(), stream);
               });
  }

  Status Broadcast(const Tensor& tensor, int root, Stream& stream) override {
    CheckRank(root, *this);
    return Run(absl::StrCat(DescribeCall("Broadcast", tensor), " from rank ", members_[root]), tensor.size(),
               rank_ == root && size_ > 1 ? tensor.bytes() : 0, stream, [&](NcclLibrary::Channel channel) {
                 return library().Broadcast(channel, tensor.raw(), tensor.bytes(), root, stream);
               });
  }

  Status Send(const Tensor& tensor, int to, Stream& stream) override {
    CheckPeer(to, *this);
    return Run(absl::StrCat(DescribeCall("Send", tensor), " to rank ", members_[to]), tensor.size(), tensor.bytes(),
               stream, [&](NcclLibrary::Channel channel) {
                 return library().SendReceive(channel, tensor.raw(), tensor.bytes(), to, nullptr, 0, -1, stream);
               });
  }

  Status Receive(const Tensor& tensor, int from, Stream& stream) override {
    CheckPeer(from, *this);
    return Run(absl::StrCat(DescribeCall("Receive", tensor), " from rank ", members_[from]), tensor.size(), 0, stream,
               [&](NcclLibrary::Channel channel) {
                 return library().SendReceive(channel, nullptr, 0, -1, tensor.raw(), tensor.bytes(), from, stream);
               });
  }

  Status SendReceive(const Tensor& send, int to, const Tensor& receive, int from, Stream& stream) override {
    CheckPeer(to, *this);
    CheckPeer(from, *this);
    // A side that is empty on one rank is empty on its peer too.
    const int to_or_none = send.size() > 0 ? to : -1, from_or_none = receive.size() > 0 ? from : -1;
    return Run(absl::StrCat(DescribeCall("SendReceive", send), " to rank ", members_[to], " and ", receive.bytes(),
                            " bytes from rank ", members_[from]),
               send.size() + receive.size(), send.bytes(), stream, [&](NcclLibrary::Channel channel) {
                 return library().SendReceive(channel, send.raw(), send.bytes(), to_or_none, receive.raw(),
                                              receive.bytes(), from_or_none, stream);
               });
  }

  Status Barrier(Stream& stream) override {
    return Run("Barrier", 1, 0, stream, [&](NcclLibrary::Channel channel) {
      return library().AllReduce(channel, channel_->word.get(), 1, DataType::kInt32, ReduceOperation::kMax, stream);
    });
  }

  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return Split("Duplicate", AllRanks(size_)); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>& ranks) override {
    CheckSubset(*this, ranks);
    return Split(absl::StrCat("Subset of ranks ", absl::StrJoin(ranks, ", ")), ranks);
  }

  double timeout_seconds() const override { return job_->options().timeout_seconds; }
  Status status() const override { return job_->fault(); }
  void Abort(const Status& reason) override {
    CHECK(!reason.ok()) << "a job is aborted for a reason";
    job_->Fail(reason).IgnoreError();
  }

  int64_t bytes_sent() const override { return job_->bytes_sent(); }
  double busy_seconds() const override { return busy_.seconds(); }

 private:
  NcclLibrary& library() { return job_->library(); }

  Tensor Part(const Tensor& tensor) const {
    CheckDivides(tensor, *this);
    const int64_t part = tensor.size() / size_;
    return tensor.Flat(part * rank_, part * (rank_ + 1));
  }

  Status CheckDevice(const Device& device) {
    if (device.kind() == library().device_kind()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("[communicator/nccl] moves the memory of GPUs, but this worker "
                     "computes on ",
                     device.name(),
                     "; say --device=cuda, or use "
                     "[communicator/threads]"));
  }
  StatusOr<std::unique_ptr<Communicator>> Split(const std::string& what, const std::vector<int>& ranks) {
    TRIREME_RETURN_IF_ERROR(Connect());
    std::vector<int> members;
    for (const int rank : ranks) members.push_back(members_[rank]);
    const auto mine = std::find(ranks.begin(), ranks.end(), rank_);
    const int place = mine == ranks.end() ? -1 : static_cast<int>(mine - ranks.begin());
    NcclChannel* child = job_->AddChannel(members);
    if (place >= 0) TRIREME_RETURN_IF_ERROR(Kept(AddMemory(*job_, child)));
    TRIREME_RETURN_IF_ERROR(job_->Call(
        channel_, what, [&](NcclLibrary::Channel channel) { return library().Split(channel, place, &child->split); }));
    if (place < 0) return std::unique_ptr<Communicator>();
    TRIREME_RETURN_IF_ERROR(job_->Call(child, what, [&](NcclLibrary::Channel) {
      child->channel = child->split;
      return absl::OkStatus();
    }));
    return std::unique_ptr<Communicator>(std::make_unique<NcclCommunicator>(job_, place, child));
  }

  // What went wrong here, as the job's fault.
  Status Kept(const Status& status) { return status.ok() ? status : job_->Fail(status); }

  Status Connect() {
    TRIREME_RETURN_IF_ERROR(job_->fault());
    if (channel_ != nullptr) return absl::OkStatus();
    auto channel = JoinAll(*job_);
    if (!channel.ok()) return Kept(channel.status());
    channel_ = *channel;
    return absl::OkStatus();
  }

  Status Run(const std::string& what, int64_t size, int64_t sent, Stream& stream,
             const std::function<Status(NcclLibrary::Channel channel)>& call) {
    const Status status = busy_.Time([&]() -> Status {
      TRIREME_RETURN_IF_ERROR(Kept(CheckDevice(stream.device())));
      TRIREME_RETURN_IF_ERROR(Connect());
      if (size <= 0) return absl::OkStatus();
      MarkBegin(channel_->progress, channel_->NumberOf(what), sent, stream);
      const Status called = job_->Call(channel_, what, call);
      MarkEnd(channel_->progress, stream);
      return called;
    });
    return status.ok() ? job_->fault() : status;
  }

  const std::shared_ptr<NcclJob> job_;
  const int rank_;
  const std::vector<int> members_;  // the job's ranks, by their ranks here
  const int size_ = static_cast<int>(members_.size());
  NcclChannel* channel_ = nullptr;
  BusyClock busy_;
};

}  // namespace

std::unique_ptr<Communicator> MakeNcclCommunicator(NcclLibrary& library, std::shared_ptr<Store> store,
                                                   const NcclJobOptions& options) {
  return std::make_unique<NcclCommunicator>(std::make_shared<NcclJob>(library, std::move(store), options));
}

}  // namespace trireme

#include "parallel/communicator/thread/thread_communicator.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>

#include "absl/strings/str_join.h"
#include "core/base/registry.h"
#include "parallel/communicator/calls/busy_clock.h"
#include "parallel/communicator/calls/calls.h"
#include "parallel/communicator/reduction/combine.h"
#include "parallel/communicator/reduction/reduce.h"
#include "parallel/communicator/thread/stream_exchange.h"
#include "parallel/communicator/thread/thread_communicator.pb.h"
#include "parallel/communicator/thread/thread_job.h"
#include "parallel/launch/process_launcher.h"

namespace trireme {
namespace {

// Up to here every rank reduces all by itself, which takes two meetings less than to divide the work.
constexpr int64_t kSmallBytes = 4096;

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<ThreadJob> job, ThreadMeeting& meeting, int rank)
      : job_(std::move(job)), meeting_(meeting), rank_(rank), size_(meeting.size()), exchange_(*job_, meeting, rank) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Status AllReduce(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    CheckReducible(tensor);
    const std::string what = DescribeCall("AllReduce", tensor, operation);
    if (IsAsynchronous(stream)) {
      return OnStreams(what, LargeAllReduceBytes(tensor.size(), SizeOf(tensor.type())), stream, [&](ThreadCall call) {
        return exchange_.AllReduce(std::move(call), tensor, operation, stream);
      });
    }
    return Run(what, {tensor}, stream,
               [this, operation, type = tensor.type(), n = tensor.size()](ThreadCall call, void* const* memory) {
                 if (size_ == 1) return absl::OkStatus();
                 return n * SizeOf(type) <= kSmallBytes ? SmallAllReduce(call, memory[0], n, type, operation)
                                                        : LargeAllReduce(call, memory[0], n, type, operation);
               });
  }

  Status ReduceScatter(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    CheckReducible(tensor);
    CheckDivides(tensor, *this);
    const std::string what = DescribeCall("ReduceScatter", tensor, operation);
    const int64_t part = tensor.size() / size_;
    if (IsAsynchronous(stream)) {
      return OnStreams(what, (tensor.size() - part) * SizeOf(tensor.type()), stream, [&](ThreadCall call) {
        return exchange_.ReduceScatter(std::move(call), tensor, operation, stream);
      });
    }
    return Run(what, {tensor}, stream,
               [this, operation, part, type = tensor.type(), n = tensor.size()](ThreadCall call, void* const* memory) {
                 TRIREME_RETURN_IF_ERROR(meeting_.Arrive(rank_, call, memory[0]));
                 ReduceInRankOrder(type, operation, meeting_.offered(), part * rank_, part * (rank_ + 1), memory[0]);
                 CountSent((n - part) * SizeOf(type));
                 return EndReading(&call);
               });
  }

  Status AllGather(const Tensor& tensor, Stream& stream) override {
    CheckDivides(tensor, *this);
    const int64_t part = tensor.bytes() / size_;
    if (IsAsynchronous(stream)) {
      return OnStreams(DescribeCall("AllGather", tensor), part * (size_ - 1), stream,
                       [&](ThreadCall call) { return exchange_.AllGather(std::move(call), tensor, stream); });
    }
    return Run(DescribeCall("AllGather", tensor), {tensor}, stream, [this, part](ThreadCall call, void* const* memory) {
      if (part <= ThreadMeeting::kMostExchanged) return SmallAllGather(call, static_cast<char*>(memory[0]), part);
      TRIREME_RETURN_IF_ERROR(meeting_.Arrive(rank_, call, memory[0]));
      for (int i = 1; i < size_; ++i) {
        const int peer = (rank_ + i) % size_;
        Copy(memory[0], meeting_.offered()[peer], part * peer, part * (peer + 1));
      }
      CountSent(part * (size_ - 1));
      return EndReading(&call);
    });
  }

  Status Broadcast(const Tensor& tensor, int root, Stream& stream) override {
    CheckRank(root, *this);
    const std::string what = absl::StrCat(DescribeCall("Broadcast", tensor), " from rank ", Named(root));
    const int64_t sent = rank_ == root ? tensor.bytes() * (size_ - 1) : 0;
    if (IsAsynchronous(stream)) {
      return OnStreams(what, sent, stream,
                       [&](ThreadCall call) { return exchange_.Broadcast(std::move(call), tensor, root, stream); });
    }
    return Run(what, {tensor}, stream,
               [this, root, sent, bytes = tensor.bytes()](ThreadCall call, void* const* memory) {
                 TRIREME_RETURN_IF_ERROR(meeting_.Arrive(rank_, call, memory[0]));
                 if (rank_ != root) Copy(memory[0], meeting_.offered()[root], 0, bytes);
                 CountSent(sent);
                 return EndReading(&call);
               });
  }

  Status Send(const Tensor& tensor, int to, Stream& stream) override {
    return Pass(absl::StrCat(DescribeCall("Send", tensor), " to rank ", Named(to)), &tensor, to, nullptr, -1, stream);
  }

  Status Receive(const Tensor& tensor, int from, Stream& stream) override {
    return Pass(absl::StrCat(DescribeCall("Receive", tensor), " from rank ", Named(from)), nullptr, -1, &tensor, from,
                stream);
  }

  Status SendReceive(const Tensor& send, int to, const Tensor& receive, int from, Stream& stream) override {
    return Pass(absl::StrCat(DescribeCall("SendReceive", send), " to rank ", Named(to), " and ", receive.bytes(),
                             " bytes from rank ", Named(from)),
                &send, to, &receive, from, stream);
  }

  Status Barrier(Stream& stream) override {
    if (IsAsynchronous(stream)) {
      return OnStreams("Barrier", 0, stream,
                       [&](ThreadCall call) { return exchange_.Barrier(std::move(call), stream); });
    }
    return Run("Barrier", {}, stream,
               [this](const ThreadCall& call, void* const*) { return meeting_.Depart(rank_, call); });
  }

  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return Found("Duplicate", AllRanks(size_)); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>& ranks) override {
    CheckSubset(*this, ranks);
    return Found(absl::StrCat("Subset of ranks ", absl::StrJoin(ranks, ", ")), ranks);
  }

  // One that is alone has nobody to meet, and may be recorded; a meeting cannot.
  bool can_capture() const override { return size_ == 1; }

  double timeout_seconds() const override { return job_->timeout_seconds(); }
  Status status() const override { return job_->fault(); }
  void Abort(const Status& reason) override {
    CHECK(!reason.ok()) << "a job is aborted for a reason";
    const int rank = meeting_.job_rank(rank_);
    job_->Fail(rank, job_->world_size() > 1 ? Annotate(reason, absl::StrCat("rank ", rank)) : reason);
  }

  int64_t bytes_sent() const override {
    return job_->bytes_sent(meeting_.job_rank(rank_)).load(std::memory_order_relaxed);
  }
  double busy_seconds() const override { return busy_.seconds(); }

 private:
  using Body = std::function<Status(const ThreadCall& call, void* const* memory)>;

  static void Copy(void* to, const void* from, int64_t begin, int64_t end) {
    if (end > begin) std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin, end - begin);
  }
  // For sentences. A rank that there is not is reported where it is checked.
  int Named(int rank) const { return rank >= 0 && rank < size_ ? meeting_.job_rank(rank) : rank; }
  // True of a GPU's streams. A CPU's further streams are threads, on which a call runs as it does inline.
  static bool IsAsynchronous(Stream& stream) { return !stream.device().compute_stream().is_inline(); }

  // Null on a rank that is not among `ranks`.
  StatusOr<std::unique_ptr<Communicator>> Found(const std::string& what, const std::vector<int>& ranks) {
    TRIREME_ASSIGN_OR_RETURN(ThreadMeeting * meeting, meeting_.Found(rank_, NextCall(what, Among::kAll), ranks));
    const auto mine = std::find(ranks.begin(), ranks.end(), rank_);
    if (mine == ranks.end()) return std::unique_ptr<Communicator>();
    return std::unique_ptr<Communicator>(
        std::make_unique<ThreadCommunicator>(job_, *meeting, static_cast<int>(mine - ranks.begin())));
  }

  void CountSent(int64_t bytes) {
    job_->bytes_sent(meeting_.job_rank(rank_)).fetch_add(bytes, std::memory_order_relaxed);
  }
  // Calls that all ranks make are told apart by their number. What two ranks do between them is no concern of the
  // others, and takes no number.
  enum class Among { kAll, kTwo };
  ThreadCall NextCall(const std::string& what, Among among) {
    if (among == Among::kAll) ++num_calls_;
    return {what, num_calls_, 0};
  }

  Status EndReading(ThreadCall* call) {
    meeting_.DoneReading();
    ++call->phase;
    return meeting_.Depart(rank_, *call);
  }

  Status SmallAllGather(const ThreadCall& call, char* memory, int64_t part) {
    if (size_ == 1) return absl::OkStatus();
    std::vector<void*> parts;
    TRIREME_RETURN_IF_ERROR(meeting_.Exchange(rank_, call, memory + part * rank_, part, &parts));
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != rank_ && part > 0) std::memcpy(memory + part * peer, parts[peer], static_cast<size_t>(part));
    }
    CountSent(part * (size_ - 1));
    return absl::OkStatus();
  }

  Status SmallAllReduce(const ThreadCall& call, void* memory, int64_t n, DataType type, ReduceOperation operation) {
    std::vector<void*> sources;
    TRIREME_RETURN_IF_ERROR(meeting_.Exchange(rank_, call, memory, n * SizeOf(type), &sources));
    ReduceInRankOrder(type, operation, sources, 0, n, memory);
    CountSent(n * SizeOf(type) * (size_ - 1));
    return absl::OkStatus();
  }

  int64_t LargeAllReduceBytes(int64_t n, int64_t element) const {
    const int64_t mine = n * (rank_ + 1) / size_ - n * rank_ / size_;
    return (n - mine + mine * (size_ - 1)) * element;
  }

  // Each rank reduces one part, then all gather the parts.
  Status LargeAllReduce(ThreadCall call, void* memory, int64_t n, DataType type, ReduceOperation operation) {
    const auto part = [&](int rank) { return n * rank / size_; };
    TRIREME_RETURN_IF_ERROR(meeting_.Arrive(rank_, call, memory));
    ReduceInRankOrder(type, operation, meeting_.offered(), part(rank_), part(rank_ + 1), memory);
    CountSent(LargeAllReduceBytes(n, SizeOf(type)));
    meeting_.DoneReading();
    ++call.phase;
    TRIREME_RETURN_IF_ERROR(meeting_.Arrive(rank_, call, memory));
    for (int i = 1; i < size_; ++i) {
      const int peer = (rank_ + i) % size_;
      Copy(memory, meeting_.offered()[peer], part(peer) * SizeOf(type), part(peer + 1) * SizeOf(type));
    }
    return EndReading(&call);
  }

  Status Take(const ThreadCall& call, void* to, int64_t bytes, int from) {
    TRIREME_ASSIGN_OR_RETURN(const ThreadMeeting::Parcel parcel,
                             meeting_.BeginTake(rank_, from, call, {nullptr, bytes, nullptr}));
    Copy(to, parcel.data, 0, bytes);
    meeting_.EndTake(rank_, from, nullptr);
    return absl::OkStatus();
  }

  // A null tensor leaves that side out.
  Status Pass(const std::string& what, const Tensor* send, int to, const Tensor* receive, int from, Stream& stream) {
    if (send != nullptr) CheckPeer(to, *this);
    if (receive != nullptr) CheckPeer(from, *this);
    const int64_t sent = send == nullptr ? 0 : send->bytes(), received = receive == nullptr ? 0 : receive->bytes();
    if (IsAsynchronous(stream)) {
      return OnStreams(
          what, sent, stream,
          [&](const ThreadCall& call) { return exchange_.SendReceive(call, send, to, receive, from, stream); },
          Among::kTwo);
    }
    return Run(
        what, {send == nullptr ? Tensor() : *send, receive == nullptr ? Tensor() : *receive}, stream,
        [this, to, from, sent, received](const ThreadCall& call, void* const* memory) -> Status {
          if (to >= 0) TRIREME_RETURN_IF_ERROR(meeting_.Offer(rank_, to, call, {memory[0], sent, nullptr}));
          if (from >= 0) TRIREME_RETURN_IF_ERROR(Take(call, memory[1], received, from));
          if (to >= 0) TRIREME_RETURN_IF_ERROR(meeting_.AwaitTaken(rank_, to, call).status());
          CountSent(sent);
          return absl::OkStatus();
        },
        Among::kTwo);
  }

  Status OnStreams(const std::string& what, int64_t sent, Stream& stream,
                   const std::function<Status(ThreadCall call)>& body, Among among = Among::kAll) {
    if (size_ == 1) return status();
    // Workers on different devices cannot read each other's memory: their calls differ.
    const Status status =
        busy_.Time([&] { return body(NextCall(absl::StrCat(what, " on ", stream.device().name()), among)); });
    if (status.ok()) CountSent(sent);
    return status;
  }

  Status Run(const std::string& what, std::vector<Tensor> operands, Stream& stream, Body body,
             Among among = Among::kAll) {
    if (stream.is_inline()) return RunNow(what, operands, body, among);
    stream.Enqueue([this, what, among, operands = std::move(operands), body = std::move(body)] {
      RunNow(what, operands, body, among).IgnoreError();  // the job has it
    });
    return status();
  }

  Status RunNow(const std::string& what, const std::vector<Tensor>& operands, const Body& body, Among among) {
    void* memory[2] = {};
    for (size_t i = 0; i < operands.size(); ++i) memory[i] = operands[i].defined() ? operands[i].raw() : nullptr;
    return busy_.Time([&] { return body(NextCall(what, among), memory); });
  }

  const std::shared_ptr<ThreadJob> job_;
  ThreadMeeting& meeting_;
  const int rank_;
  const int size_;
  StreamExchange exchange_;
  int64_t num_calls_ = 0;
  BusyClock busy_;
};

class ThreadLauncher : public Launcher {
 public:
  explicit ThreadLauncher(double timeout_seconds) : timeout_seconds_(timeout_seconds) {}

  std::optional<Status> Start(int) override {
    const Status status = RefuseSeveralProcesses("communicator/threads");
    return status.ok() ? std::nullopt : std::make_optional(status);
  }

  Status Run(int world_size, const std::function<Status(Communicator& communicator)>& worker) override {
    if (world_size < 1) {
      return absl::InvalidArgumentError(absl::StrCat("a job of ", world_size, " workers; say --workers=1 or more"));
    }
    const auto job = std::make_shared<ThreadJob>(world_size, timeout_seconds_);
    std::vector<Status> results(world_size);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < world_size; ++rank) {
      try {
        threads.emplace_back([&, rank] {
          pthread_setname_np(pthread_self(), absl::StrCat("worker ", rank).substr(0, 15).c_str());
          ThreadCommunicator communicator(job, job->first_meeting(), rank);
          results[rank] = CatchDeviceError([&] { return worker(communicator); });
          job->Leave(rank, results[rank]);
        });
      } catch (const std::system_error& error) {
        results[rank] = absl::ResourceExhaustedError(absl::StrCat("no thread for worker ", rank, " of ", world_size,
                                                                  ": ", error.what(), "; ask for fewer workers"));
        job->Fail(rank, results[rank]);
        break;
      }
    }
    for (std::thread& thread : threads) thread.join();
    const int first = job->fault_rank();
    if (first >= 0) return results[first].ok() ? job->fault() : results[first];
    for (const Status& result : results) TRIREME_RETURN_IF_ERROR(result);
    return absl::OkStatus();
  }

 private:
  const double timeout_seconds_;
};

StatusOr<std::unique_ptr<Launcher>> MakeThreads(const ThreadsConfig& config, const Launcher::BuildArgs&) {
  TRIREME_RETURN_IF_ERROR(CheckTimeout(config.timeout_seconds()));
  return MakeThreadLauncher(config.timeout_seconds());
}

TRIREME_REGISTER_COMPONENT("communicator/threads", Launcher, ThreadsConfig, MakeThreads);

}  // namespace

std::unique_ptr<Launcher> MakeThreadLauncher(double timeout_seconds) {
  CHECK(CheckTimeout(timeout_seconds).ok()) << timeout_seconds;
  return std::make_unique<ThreadLauncher>(timeout_seconds);
}

}  // namespace trireme

#include "parallel/communicator/thread/stream_exchange.h"

#include <glog/logging.h>

#include "parallel/communicator/reduction/reduce.h"

namespace trireme {
namespace {

void CopyBytes(void* to, const void* from, int64_t begin, int64_t end, Stream& stream) {
  if (begin >= end) return;
  stream.device().Copy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                       static_cast<size_t>(end - begin), stream);
}

// A device that is gone has nothing left to wait for.
void WaitDespiteFault(const std::function<void()>& wait) {
  CatchDeviceError([&] {
    wait();
    return absl::OkStatus();
  }).IgnoreError();
}

}  // namespace

StreamExchange::StreamExchange(ThreadJob& job, ThreadMeeting& meeting, int rank)
    : job_(job), meeting_(meeting), rank_(rank), size_(meeting.size()) {}

Status StreamExchange::AllReduce(ThreadCall call, const Tensor& tensor, ReduceOperation operation, Stream& stream) {
  TRIREME_RETURN_IF_ERROR(CheckNumber());
  const int64_t size = tensor.size(), element = SizeOf(tensor.type());
  const auto part = [&](int rank) { return size * rank / size_; };
  const Work reduce = [&](const std::vector<void*>& memory) {
    ReduceInRankOrder(tensor.type(), operation, memory, part(rank_), part(rank_ + 1), tensor.raw(), stream);
  };
  const Work gather = [&](const std::vector<void*>& memory) {
    for (int i = 1; i < size_; ++i) {
      const int peer = (rank_ + i) % size_;
      CopyBytes(tensor.raw(), memory[peer], part(peer) * element, part(peer + 1) * element, stream);
    }
  };
  return Meet(std::move(call), tensor.raw(), stream, {reduce, gather});
}

Status StreamExchange::ReduceScatter(ThreadCall call, const Tensor& tensor, ReduceOperation operation, Stream& stream) {
  TRIREME_RETURN_IF_ERROR(CheckNumber());
  const int64_t part = tensor.size() / size_;
  const Work reduce = [&](const std::vector<void*>& memory) {
    ReduceInRankOrder(tensor.type(), operation, memory, part * rank_, part * (rank_ + 1), tensor.raw(), stream);
  };
  return Meet(std::move(call), tensor.raw(), stream, {reduce});
}

Status StreamExchange::AllGather(ThreadCall call, const Tensor& tensor, Stream& stream) {
  const int64_t part = tensor.bytes() / size_;
  const Work gather = [&](const std::vector<void*>& memory) {
    for (int i = 1; i < size_; ++i) {
      const int peer = (rank_ + i) % size_;
      CopyBytes(tensor.raw(), memory[peer], part * peer, part * (peer + 1), stream);
    }
  };
  return Meet(std::move(call), tensor.raw(), stream, {gather});
}

Status StreamExchange::Broadcast(ThreadCall call, const Tensor& tensor, int root, Stream& stream) {
  const Work copy = [&](const std::vector<void*>& memory) {
    if (rank_ != root) CopyBytes(tensor.raw(), memory[root], 0, tensor.bytes(), stream);
  };
  return Meet(std::move(call), tensor.raw(), stream, {copy});
}

Status StreamExchange::Barrier(ThreadCall call, Stream& stream) { return Meet(std::move(call), nullptr, stream, {}); }

Status StreamExchange::Meet(ThreadCall call, void* memory, Stream& stream, const std::vector<Work>& work) {
  MakeEvents(stream.device());
  bool reading = false;
  Status status = MeetPhases(&call, memory, stream, work, &reading);
  if (!reading) return status;
  // It reads until all have told their streams to wait for it: the memory of one that failed to is not kept otherwise.
  ++call.phase;
  if (status.ok()) status = meeting_.MeetWhileReading(rank_, call, nullptr);
  if (status.ok()) {
    meeting_.DoneReading();
    return status;
  }
  // The stream holds nothing but what was recorded before others could wait for it, so that it comes to its end.
  WaitDespiteFault([&] { stream.Synchronize(); });
  meeting_.DoneReading();
  return meeting_.AwaitReaders(rank_);
}

Status StreamExchange::MeetPhases(ThreadCall* call, void* memory, Stream& stream, const std::vector<Work>& work,
                                  bool* reading) {
  std::vector<void*> shown_memory(size_);
  for (size_t phase = 0; phase <= work.size(); ++phase) {
    shown_[phase].memory = memory;
    TRIREME_RETURN_IF_ERROR(Enqueue([&] { stream.Record(*shown_[phase].event); }));
    if (phase == 0) {
      TRIREME_RETURN_IF_ERROR(meeting_.Arrive(rank_, *call, &shown_[phase]));
      *reading = true;
      for (int peer = 0; peer < size_; ++peer) {
        shown_memory[peer] = static_cast<const Shown*>(meeting_.offered()[peer])->memory;
      }
    } else {
      ++call->phase;
      TRIREME_RETURN_IF_ERROR(meeting_.MeetWhileReading(rank_, *call, &shown_[phase]));
    }
    TRIREME_RETURN_IF_ERROR(Enqueue([&] {
      WaitForPeers(stream);
      if (phase < work.size()) work[phase](shown_memory);
    }));
  }
  return absl::OkStatus();
}

void StreamExchange::WaitForPeers(Stream& stream) {
  for (int peer = 0; peer < size_; ++peer) {
    if (peer != rank_) stream.Wait(*static_cast<const Shown*>(meeting_.offered()[peer])->event);
  }
}

Status StreamExchange::SendReceive(const ThreadCall& call, const Tensor* send, int to, const Tensor* receive, int from,
                                   Stream& stream) {
  MakeEvents(stream.device());
  if (send != nullptr) {
    TRIREME_RETURN_IF_ERROR(Enqueue([&] { stream.Record(*sent_); }));
    TRIREME_RETURN_IF_ERROR(meeting_.Offer(rank_, to, call, {send->raw(), send->bytes(), sent_.get()}));
  }
  bool has_taken = false;
  Status status = receive == nullptr ? absl::OkStatus() : Take(call, *receive, from, stream, &has_taken);
  if (send != nullptr) {
    Event* read = nullptr;
    if (status.ok()) {
      const StatusOr<Event*> taken = meeting_.AwaitTaken(rank_, to, call);
      status = taken.status();
      if (taken.ok()) read = *taken;
    }
    if (read == nullptr) read = meeting_.Withdraw(rank_, to);
    if (read != nullptr) {
      // What was sent may be overwritten from here on.
      const Status waited = Enqueue([&] { stream.Wait(*read); });
      // It must not go while it is read, and the stream would not keep it.
      if (!waited.ok()) WaitDespiteFault([&] { read->Synchronize(); });
      if (status.ok()) status = waited;
      meeting_.Release(rank_, to);
    }
  }
  if (has_taken) meeting_.AwaitRelease(rank_, from);
  return status;
}

Status StreamExchange::Take(const ThreadCall& call, const Tensor& tensor, int from, Stream& stream, bool* taken) {
  TRIREME_ASSIGN_OR_RETURN(const ThreadMeeting::Parcel parcel,
                           meeting_.BeginTake(rank_, from, call, {nullptr, tensor.bytes(), taken_.get()}));
  const Status copied = Enqueue([&] {
    stream.Wait(*parcel.event);
    CopyBytes(tensor.raw(), parcel.data, 0, tensor.bytes(), stream);
    stream.Record(*taken_);
  });
  // The sender cannot wait for an event that was not recorded behind the copy.
  if (!copied.ok()) WaitDespiteFault([&] { stream.Synchronize(); });
  meeting_.EndTake(rank_, from, taken_.get());
  *taken = true;
  return copied;
}

Status StreamExchange::Enqueue(const std::function<void()>& work) {
  const Status status = CatchDeviceError([&] {
    work();
    return absl::OkStatus();
  });
  if (status.ok()) return status;
  const int rank = meeting_.job_rank(rank_);
  job_.Fail(rank, Annotate(status, absl::StrCat("rank ", rank)));
  return job_.fault();
}

Status StreamExchange::CheckNumber() const {
  if (size_ <= kMaxStreamSources) return absl::OkStatus();
  job_.Fail(meeting_.job_rank(rank_),
            absl::InvalidArgumentError(absl::StrCat("[communicator/threads] reduces over at most ", kMaxStreamSources,
                                                    " workers on a GPU, not ", size_)));
  return job_.fault();
}

void StreamExchange::MakeEvents(Device& device) {
  if (!events_.empty()) return;
  for (int phase = 0; phase < kPhases; ++phase) {
    events_.push_back(device.NewEvent());
    shown_[phase].event = events_.back().get();
  }
  sent_ = device.NewEvent();
  taken_ = device.NewEvent();
}

}  // namespace trireme

// The calls of one rank whose device works asynchronously: several workers that share one GPU.
//
// Ranks meet on the host, where each shows the others its memory and the event from which on it may be read. Then each
// rank's stream waits for its peers' events and reads their memory by a kernel or a copy; and nobody's stream goes on
// before its peers' streams have read what they needed of it. The host waits for its peers to make the same call, as
// long as the deadline allows, and never for a device. Parts are reduced in rank order, each by one rank, so that the
// bits are those of the CPU.
//
// Every event is recorded before others wait for it, and they have begun to wait before it is recorded again, or ends:
// a call returns when all ranks have enqueued all of theirs. That is why calls of several communicators have to be made
// in one order on all ranks, and why none of it can be captured.
//
// After a fault a rank first waits for its own stream, which may read the memory of others, and then for the others to
// have done the same: no call returns while anything it was given is still being read.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_THREAD_STREAM_EXCHANGE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_THREAD_STREAM_EXCHANGE_H_

#include <functional>
#include <memory>
#include <vector>

#include "core/api/communicator.h"
#include "parallel/communicator/thread/thread_job.h"

namespace trireme {

// Used by one thread at a time. Tensors are on the stream's device.
class StreamExchange {
 public:
  // Both outlive it.
  StreamExchange(ThreadJob& job, ThreadMeeting& meeting, int rank);

  Status AllReduce(ThreadCall call, const Tensor& tensor, ReduceOperation operation, Stream& stream);
  Status ReduceScatter(ThreadCall call, const Tensor& tensor, ReduceOperation operation, Stream& stream);
  Status AllGather(ThreadCall call, const Tensor& tensor, Stream& stream);
  Status Broadcast(ThreadCall call, const Tensor& tensor, int root, Stream& stream);
  Status Barrier(ThreadCall call, Stream& stream);
  // A null tensor leaves that side out.
  Status SendReceive(const ThreadCall& call, const Tensor* send, int to, const Tensor* receive, int from,
                     Stream& stream);

 private:
  // What a rank shows the others in one phase of a call.
  struct Shown {
    void* memory = nullptr;
    Event* event = nullptr;
  };
  static constexpr int kPhases = 3;
  using Work = std::function<void(const std::vector<void*>& memory)>;

  // Meets with `memory`, then for each of `work`: waits for the peers, enqueues it, and meets again when it is done.
  Status Meet(ThreadCall call, void* memory, Stream& stream, const std::vector<Work>& work);
  Status MeetPhases(ThreadCall* call, void* memory, Stream& stream, const std::vector<Work>& work, bool* reading);
  void WaitForPeers(Stream& stream);
  // `*taken`: the sender has to release the message.
  Status Take(const ThreadCall& call, const Tensor& tensor, int from, Stream& stream, bool* taken);
  // A device that has failed ends the job.
  Status Enqueue(const std::function<void()>& work);
  Status CheckNumber() const;
  void MakeEvents(Device& device);

  ThreadJob& job_;
  ThreadMeeting& meeting_;
  const int rank_;
  const int size_;
  std::vector<std::unique_ptr<Event>> events_;  // by phase
  Shown shown_[kPhases];
  std::unique_ptr<Event> sent_, taken_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_THREAD_STREAM_EXCHANGE_H_

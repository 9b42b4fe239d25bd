// A worker's end of its channel to the servers: a thread that pushes gradients as they become complete, pulls values,
// and says between times that the worker is alive (see messages.h).
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_LINK_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_LINK_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/api/communicator.h"
#include "parallel/strategies/parameter_server/messages.h"
#include "parallel/strategies/parameter_server/shards.h"

namespace trireme {

class WorkerLink {
 public:
  struct Server {
    int rank = 0;
    const Shard* shard = nullptr;  // outlives the link
  };
  // Servers other than this worker's own. The arena outlives the link, and so do events, until AwaitPull.
  WorkerLink(const ParameterArena& arena, std::vector<Server> servers, std::unique_ptr<Communicator> channel);
  // Says kEnd, unless there was a fault.
  ~WorkerLink();
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  // None of these wait. The gradients of bucket `bucket` are complete where `ready` was recorded.
  void Push(int64_t step, const Bucket& bucket, int number, Event* ready);
  // The step's last word: `control` (push_sum.h) is there where `ready` was recorded. Then pulls the values.
  void Pull(int64_t step, const Tensor& control, Event* ready);
  void Settle(const Interruption& interruption);
  // Waits until the values are in the arena, for all streams. A fault says in what it came.
  Status AwaitPull();
  // That it has spent on pushes and pulls so far, waiting for servers included.
  double busy_seconds() const;

 private:
  struct Command {
    PushHeader header;
    int bucket = -1;
    std::string what;  // for sentences
    Tensor control;
    Event* ready = nullptr;
  };
  void Enqueue(Command command);
  void Loop();
  Status Do(const Command& command);
  // After a fault: then nothing moves this worker's memory any more.
  void EndAll(const Status& reason);
  Status Say(size_t server, const PushHeader& header);

  const ParameterArena& arena_;
  Device& device_;
  const std::vector<Server> servers_;
  const std::unique_ptr<Communicator> channel_;
  std::string pull_;  // for sentences
  Tensor headers_;    // one a server
  std::shared_ptr<void> host_headers_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::deque<Command> queue_;
  int64_t enqueued_ = 0, completed_ = 0;
  double busy_seconds_ = 0;
  bool ending_ = false;
  Status status_;
  // The last members: their work refers to the others.
  std::unique_ptr<Stream> stream_;
  std::thread thread_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_LINK_H_

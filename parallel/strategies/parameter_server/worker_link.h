// A worker's end of its channel to the servers: a thread that pushes gradients as they become complete, pulls sums and
// values, and says between times that the worker is alive (see messages.h).
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_LINK_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_LINK_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/api/communicator.h"
#include "parallel/strategies/compression.h"
#include "parallel/strategies/parameter_server/messages.h"
#include "parallel/strategies/parameter_server/shards.h"

namespace trireme {

class WorkerLink {
 public:
  struct Server {
    int rank = 0;
    const Shard* shard = nullptr;  // outlives the link
    bool shows_sums = false;       // to this worker, in PullSums
  };
  struct Parts {
    const ParameterArena* arena = nullptr;  // outlives the link
    std::vector<Server> servers;            // other than this worker's own
    std::unique_ptr<Communicator> channel;
    DataType type_on_the_wire = DataType::kFloat32;  // gradients'; see TypeOnTheWire
    bool may_skip = false;                           // see Strategy::BuildArgs
  };
  // Events that it is given have to live until AwaitPull, a guard too.
  explicit WorkerLink(Parts parts);
  // Says kEnd, unless there was a fault.
  ~WorkerLink();
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  // None of these wait. The gradients of bucket `bucket` are complete where `ready` was recorded.
  void Push(int64_t step, const Bucket& bucket, int number, Event* ready);
  // After the step's pushes: the sums of those servers that show theirs, in place of the arena's gradients.
  void PullSums(int64_t step);
  // The step's last word: what `guard` has decided, in `control` (push_sum.h), is there where `ready` was recorded.
  // Then pulls the values.
  void Pull(int64_t step, const GradientGuard& guard, const Tensor& control, Event* ready);
  void Settle(const Interruption& interruption);
  // Waits until all of that is done, and what was pulled in the arena, for all streams. A fault says in what it came.
  Status AwaitPull();
  // That it has spent on pushes and pulls so far, waiting for servers included.
  double busy_seconds() const;
  // What compression keeps; see Strategy::State. Only between steps.
  std::vector<std::pair<std::string, Tensor>> State() const;

 private:
  struct Command {
    PushHeader header;
    int bucket = -1;
    std::string what;  // for sentences
    const GradientGuard* guard = nullptr;
    Tensor control;
    Event* ready = nullptr;
  };
  void Enqueue(Command command);
  void Loop();
  Status Do(const Command& command);
  Status SendBucket(const Command& command);
  Status ReceiveSums(const PushHeader& header);
  Status ExchangeControl(const Command& command);
  Status ReceiveParts(const Server& server, const Tensor& of_arena);
  // After a fault: then nothing moves this worker's memory any more.
  void EndAll(const Status& reason);
  Status Say(size_t server, const PushHeader& header);

  const ParameterArena& arena_;
  Device& device_;
  const std::vector<Server> servers_;
  const std::unique_ptr<Communicator> channel_;
  std::unique_ptr<GradientCompression> compression_;  // null where gradients travel as they are
  std::string pull_;                                  // for sentences
  Tensor headers_;                                    // one a server
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

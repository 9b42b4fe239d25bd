// One server: it holds a shard of the parameters, takes the workers' pushes, runs the optimizer, and gives values out.
//
// It knows nothing of how pushes come and values go (see server_link.h, worker_link.h); it says when they may.
//
//   kSync: the sums of all workers' gradients, added in rank order, are one update. Values are there when it is done.
//
//   kAsync: every push is an update of its own. Values are there at once.
//
//   kBounded: the same, but values for a worker that has done c steps are there when the slowest has done
//   c - staleness.
//
// In the last two a push is an update at 1/workers of the schedule's rate, with the gradient of the worker's own images
// as if they were the batch. So the pushes of all workers for one step move the weights together as far as one step of
// one worker on all images would, weight decay and Adam's steps, which do not grow with the gradient, included; had the
// gradients been divided instead, decay would work `workers` times too much, and Adam would take steps `workers` times
// too long. Each counts as a step of the optimizer, so that momentum runs out sooner, in steps.
//
// Threads: each worker's calls are made by one thread at a time, several workers' at once. Streams are ordered by the
// host: what a call is given is there, and what it gives is there when it returns. A call that waits ends with a fault
// of the job, which `fault` tells, or with one of its own that names the workers that it has waited for too long.
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SHARD_SERVER_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SHARD_SERVER_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/api/optimizer.h"
#include "core/api/schedule.h"
#include "parallel/strategies/parameter_server/shards.h"

namespace trireme {

enum class ServerMode { kSync, kAsync, kBounded };

class ShardServer {
 public:
  struct Options {
    ServerMode mode = ServerMode::kSync;
    int workers = 1;
    int64_t staleness = 0;        // of kBounded
    double timeout_seconds = 60;  // of waits for other workers
    bool begins_updates = false;  // of kSync: it begins the optimizer's steps, instead of the trainer beside it
  };
  // All outlive the server. The optimizer is set up for `piece`, the shard's.
  struct Parts {
    Shard shard;
    ArenaPiece piece;
    Optimizer* optimizer = nullptr;
    const Schedule* schedule = nullptr;  // where it begins updates, and in kAsync and kBounded
    std::vector<Tensor> incoming;        // by worker, float32 [shard.size()]: where its gradients arrive
    std::function<Status()> fault;
  };
  ShardServer(const Options& options, Parts parts);

  const Shard& shard() const { return parts_.shard; }
  const Tensor& values() const { return parts_.piece.values; }
  const Tensor& sums() const { return parts_.piece.gradients; }
  // Where worker `worker`'s gradients have to be before ArrivePart.
  const Tensor& incoming(int worker) const { return parts_.incoming[static_cast<size_t>(worker)]; }

  // Where its values are put together for AwaitValues: what is in incoming() is used up by then.
  const Tensor& answer(int worker) const { return options_.mode == ServerMode::kSync ? values() : incoming(worker); }

  // The optimizer's state is what it has to be from here on (a run that is resumed loads it when everything is set up):
  // nothing is updated before.
  void Open();

  // Part `part` of a worker's gradients of step `step` has arrived. A step's parts come once each, and then, in any
  // mode, ArriveControl: whether and how they reach the values. The control's words lie in the device's memory until
  // the worker has its values.
  Status ArrivePart(int worker, int64_t step, int part, Stream& stream);
  Status ArriveControl(int worker, int64_t step, const UpdateControl& control, Stream& stream);
  // kSync: waits until sums() are those of the step's gradients.
  Status AwaitSums(int64_t step);
  // Waits until the worker may have values to go on from after `step`, and writes the shard's parts to `to`,
  // float32 [shard.size()], unless that is where they are.
  Status AwaitValues(int worker, int64_t step, const Tensor& to, Stream& stream);

  // For sentences: "step 3: the push of worker 2 has not come".
  std::string Describe() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  std::string Missing() const;
  // Until `ready`, or a fault.
  Status Await(Lock* lock, const std::function<bool()>& ready);
  Status CheckStep(int worker, int64_t step);
  void Sum(int part, Stream& stream);
  // Both holding the mutex.
  void UpdateFromSums(Stream& stream);
  void UpdateFromPush(int worker, const UpdateControl& control, Stream& stream);
  void UpdateParts(const UpdateControl& control, Stream& stream);
  int64_t SlowestClock() const;

  const Options options_;
  const Parts parts_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  std::vector<int64_t> clock_;  // by worker: steps that it has done; -1 until the first push
  std::vector<int> arrived_;    // by part, of the present step: workers whose gradients are there
  int summed_ = 0;              // parts
  int controls_ = 0;            // workers that have sent theirs
  UpdateControl control_;       // worker 0's
  int64_t step_ = -1;           // kSync: the present one
  int64_t updated_ = -1;        // kSync: the last that was done
  int64_t updates_ = -1;        // kAsync, kBounded: the last update's number
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SHARD_SERVER_H_

// A rank's part as a worker: which buckets of a step are complete and on their way to the servers, what it tells these
// when the step's gradients have been judged, and what they give back.
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_SIDE_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_SIDE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/api/gradient_guard.h"
#include "parallel/strategies/buckets.h"
#include "parallel/strategies/buckets.pb.h"
#include "parallel/strategies/parameter_server/worker_link.h"

namespace trireme {

// Used by the worker's thread.
class WorkerSide {
 public:
  // The arena and the plan outlive it.
  struct Parts {
    const ParameterArena* arena = nullptr;
    const BucketPlan* plan = nullptr;
    BucketConfig buckets;
    bool may_skip = false;                    // see Strategy::BuildArgs
    std::vector<WorkerLink::Server> servers;  // but this worker's own
    std::unique_ptr<Communicator> channel;    // to them
  };
  explicit WorkerSide(Parts parts);

  void BeginStep(int64_t step);
  // Pushes the buckets that are complete by now, unless they wait for the step's end.
  void OnGradientReady(int index);
  // All buckets are complete, and pushed.
  void PushRest();
  int num_pushed() const { return progress_.num_taken(); }

  // Waits for the sums of those servers that show them to this worker. They take the place of its own gradients, which
  // have been pushed.
  Status PullSums();
  // The guard has decided: tells the servers, and pulls. Does not wait.
  void Pull(const GradientGuard& guard);
  // What they are told, for this worker's own server: valid until the next Pull, in order of the compute stream.
  UpdateControl control() const;
  // The values are in the arena, for all streams.
  Status AwaitPull() { return link_.AwaitPull(); }

  // Announces it to servers with ranks of their own. Waits.
  Status Settle(const Interruption& interruption);

  // Of the present step, on pushes and pulls.
  double communication_seconds() const { return link_.busy_seconds() - busy_before_; }
  // See Strategy::State.
  std::vector<std::pair<std::string, Tensor>> State() const { return link_.State(); }

 private:
  void PushComplete();

  const ParameterArena& arena_;
  const BucketPlan& plan_;
  const bool overlap_;
  Stream& compute_;
  BucketProgress progress_;  // takes a bucket when it is pushed
  std::vector<std::unique_ptr<Event>> ready_;
  const std::unique_ptr<Event> decided_;
  const Tensor control_;
  int64_t step_ = 0;
  double busy_before_ = 0;  // the link's clock when the step began
  // The last member: its thread refers to the others.
  WorkerLink link_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_WORKER_SIDE_H_

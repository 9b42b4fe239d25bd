// The contract of a parallel strategy: decides who reduces which gradients and who updates which range
// of the arena. It runs on any Communicator, and knows nothing of models or data.
//
// Every worker runs one instance. Losses are normalised over the global batch (see detector.h), so
// gradients are summed over workers, never averaged. A strategy that is synchronous() leaves, after
// Step, the same bits in every worker's parameter arena, whatever the number of workers up to rounding.
//
// One step: BeginStep; the tape calls OnGradientReady once for every parameter while it walks
// backwards; Step finishes the communication, updates, and publishes the new parameters.
//
// The calls between BeginStep and the end of Step may be recorded (Device::BeginCapture) and launched again in later
// steps, for which only BeginStep is called: what they enqueue depends on nothing that changes, neither reads back nor
// waits on the host where the compute stream is not inline, and every stream that they use is waited for by the compute
// stream in the end.
#ifndef TRIREME_CORE_API_STRATEGY_H_
#define TRIREME_CORE_API_STRATEGY_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/gradient_guard.h"
#include "core/api/optimizer.h"
#include "core/api/schedule.h"
#include "core/autograd/tape.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

// Why a run is interrupted, after so many steps; the same on every rank.
struct Interruption {
  int64_t steps_done = 0;
  bool checkpoint = false, evaluation = false, stop = false;
};

class Strategy : public GradientSink {
 public:
  static constexpr const char kKind[] = "strategy";
  // All outlive the strategy and belong to this worker.
  struct BuildArgs {
    ParameterArena* arena = nullptr;
    Optimizer* optimizer = nullptr;        // not set up: Setup does it
    Communicator* communicator = nullptr;  // never null; size 1 for a worker that is alone
    const Schedule* schedule = nullptr;    // for whoever begins the optimizer's steps itself (see begins_updates)
    bool may_skip = false;                 // steps may be left out, by the guard, and training goes on
    bool scales_losses = false;            // and so gradients, by a scale that changes
  };

  // Sets up the optimizer for the pieces of the arena that this worker updates, and makes all workers' parameters equal
  // to rank 0's. Collective.
  virtual Status Setup() = 0;

  // Enqueues nothing. `step` is for messages.
  virtual void BeginStep(int64_t step) = 0;

  // GradientSink: may enqueue communication, on a stream of its own, ordered after the compute stream's
  // present end by an event. Must not block on peers, but for what it has enqueued for earlier gradients of the step,
  // which all workers have come to.
  void OnGradientReady(int index) override = 0;

  // Returns when this worker's share is done and the parameters for the next step are in place (in
  // compute stream order). Asks `guard` before it updates. A fault names the rank, the bucket and the step.
  virtual Status Step(GradientGuard& guard) = 0;

  // False if workers may differ between steps (asynchronous strategies). Each worker's gradients are then those of its
  // own images, as if they were the whole batch: no call of a step is collective, but what the strategy itself makes
  // so. The workers meet every steps_between_meetings() steps only, to gather their losses and to agree on a stop; at
  // any time each is its own judge of what is not finite.
  virtual bool synchronous() const = 0;
  virtual int64_t steps_between_meetings() const { return 1; }
  // Of an asynchronous strategy: the workers' meeting, after the step that was enqueued last, which is no part of it:
  // it is not recorded. Collective, in compute stream order.
  virtual Status Meet() { return absl::OkStatus(); }

  // True if the strategy begins the optimizer's steps, because it counts them otherwise; else the trainer does.
  virtual bool begins_updates() const { return false; }

  // False if the calls of a step must not be recorded, because they differ from step to step.
  virtual bool can_capture() const { return true; }

  // True if, after so many steps, a checkpoint or an evaluation may interrupt the run without changing what it would
  // have come to. One that is due otherwise, or a stop, waits for the next such step. The same on every worker.
  virtual bool settled(int64_t /*steps_done*/) const { return true; }
  // Makes every worker's arena hold the same parameters, the job's. Called when nothing is enqueued that was not waited
  // for: before a checkpoint and an evaluation, in settled steps and in the last one, whether settled or not. It may be
  // called again without a step in between, or before the first (a stop in an evaluation): then it changes nothing.
  // Collective.
  virtual Status Settle() { return absl::OkStatus(); }

  // Tells what Settle, which is called next, is for.
  virtual void Announce(const Interruption& /*interruption*/) {}

  // On a rank that is no worker but there to serve them (see server_ranks.h), instead of all steps: works until the
  // workers settle, takes part in that, and returns what for.
  virtual StatusOr<Interruption> Serve() { return absl::InternalError("this strategy has no ranks that only serve"); }

  // Arrays of this worker alone that a checkpoint has to keep besides the optimizer's state, float32, by name
  // ("residual"). A run that is resumed fills them in after Setup, if it has some of this worker's rank and of this
  // size, and leaves them as they are otherwise (more workers than before, or another strategy).
  virtual std::vector<std::pair<std::string, Tensor>> State() const { return {}; }

  // What a step exchanges, in its order, in words that are the same on all workers that fit together.
  virtual std::vector<std::string> schedule() const { return {}; }

  // How far the present step's communication has come, for sentences about a fault that meets the worker elsewhere:
  // "bucket 2 of 5 (a to b)"; empty if there is nothing to tell.
  virtual std::string UnderWay() const { return ""; }

  // Seconds of the last step in which this worker could do nothing but wait for communication; those aside that the
  // communicator of BuildArgs counts itself (busy_seconds).
  virtual double exposed_communication_seconds() const = 0;
  // Seconds of the last step in which its gradients or parameters were on their way, hidden behind other work or not; 0
  // where that is not known.
  virtual double communication_seconds() const { return 0; }
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_STRATEGY_H_

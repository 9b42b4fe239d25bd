#include "parallel/strategies/parameter_server/worker_side.h"

#include "parallel/strategies/parameter_server/push_sum.h"

namespace trireme {
namespace {

WorkerLink::Parts LinkOf(WorkerSide::Parts* parts) {
  WorkerLink::Parts link;
  link.arena = parts->arena;
  link.servers = std::move(parts->servers);
  link.channel = std::move(parts->channel);
  link.type_on_the_wire = TypeOnTheWire(parts->buckets);
  link.may_skip = parts->may_skip;
  return link;
}

}  // namespace

WorkerSide::WorkerSide(Parts parts)
    : arena_(*parts.arena),
      plan_(*parts.plan),
      overlap_(parts.buckets.overlap()),
      compute_(arena_.device().compute_stream()),
      progress_(arena_, plan_),
      decided_(arena_.device().NewEvent()),
      control_(Tensor::Zeros(arena_.device(), {kPushControlBytes}, DataType::kUint8, MemoryKind::kGradients)),
      link_(LinkOf(&parts)) {
  for (size_t k = 0; k < plan_.buckets.size(); ++k) ready_.push_back(arena_.device().NewEvent());
}

void WorkerSide::BeginStep(int64_t step) {
  step_ = step;
  busy_before_ = link_.busy_seconds();
  progress_.BeginStep();
}

void WorkerSide::OnGradientReady(int index) {
  progress_.OnGradientReady(index);
  if (overlap_) PushComplete();
}

void WorkerSide::PushRest() {
  PushComplete();
  progress_.CheckAllTaken();
}

void WorkerSide::PushComplete() {
  for (int k = progress_.TakeComplete(); k >= 0; k = progress_.TakeComplete()) {
    const size_t bucket = static_cast<size_t>(k);
    compute_.Record(*ready_[bucket]);
    link_.Push(step_, plan_.buckets[bucket], k, ready_[bucket].get());
  }
}

Status WorkerSide::PullSums() {
  link_.PullSums(step_);
  return link_.AwaitPull();
}

void WorkerSide::Pull(const GradientGuard& guard) {
  WriteControl(guard.control(), control_, compute_);
  compute_.Record(*decided_);
  link_.Pull(step_, guard, control_, decided_.get());
}

UpdateControl WorkerSide::control() const { return ControlIn(control_); }

Status WorkerSide::Settle(const Interruption& interruption) {
  link_.Settle(interruption);
  return link_.AwaitPull();
}

}  // namespace trireme

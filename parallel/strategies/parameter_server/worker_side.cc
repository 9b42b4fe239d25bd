#include "parallel/strategies/parameter_server/worker_side.h"

#include <glog/logging.h>

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
      pending_(plan_.buckets.size(), 0),
      decided_(arena_.device().NewEvent()),
      control_(Tensor::Zeros(arena_.device(), {kPushControlBytes}, DataType::kUint8, MemoryKind::kGradients)),
      link_(LinkOf(&parts)) {
  for (size_t k = 0; k < plan_.buckets.size(); ++k) ready_.push_back(arena_.device().NewEvent());
}

void WorkerSide::BeginStep(int64_t step) {
  step_ = step;
  next_ = 0;
  busy_before_ = link_.busy_seconds();
  for (size_t k = 0; k < pending_.size(); ++k) pending_[k] = plan_.buckets[k].num_trained;
}

void WorkerSide::OnGradientReady(int index) {
  const int bucket = plan_.bucket_of[static_cast<size_t>(index)];
  if (bucket < 0) return;
  CHECK_GT(pending_[static_cast<size_t>(bucket)], 0)
      << arena_.parameters()[static_cast<size_t>(index)]->name << " is reported twice in a step";
  --pending_[static_cast<size_t>(bucket)];
  if (overlap_) PushComplete();
}

void WorkerSide::PushRest() {
  PushComplete();
  CHECK_EQ(next_, pending_.size()) << "not all gradients were reported before the step's end";
}

void WorkerSide::PushComplete() {
  for (; next_ < pending_.size() && pending_[next_] == 0; ++next_) {
    compute_.Record(*ready_[next_]);
    link_.Push(step_, plan_.buckets[next_], static_cast<int>(next_), ready_[next_].get());
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

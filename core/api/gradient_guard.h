// The contract between a strategy and what decides whether and how a step's gradients reach the weights (losses that
// are not finite, gradients that overflowed float16 or are longer than they may be).
//
// The decision is made on the device, without the host: a strategy shows the guard the reduced gradients and hands the
// guard's control() to every update. In a step that is recorded and launched again, all of it is part of the recording.
#ifndef TRIREME_CORE_API_GRADIENT_GUARD_H_
#define TRIREME_CORE_API_GRADIENT_GUARD_H_

#include "core/api/optimizer.h"
#include "core/base/status.h"

namespace trireme {

class GradientGuard {
 public:
  virtual ~GradientGuard() = default;

  // True: a strategy calls Inspect for all ranges that this worker will update, then Decide, and only then updates,
  // because one overflow anywhere holds for the whole step, and a norm is that of all gradients. False: it may update
  // each range as soon as that is reduced, and need not call either. The same on every worker and in every step.
  virtual bool waits_for_all() const = 0;

  // Looks at the reduced gradients of the arena's elements from `begin` on, wherever they lie, in order of `stream`.
  // They stay there, unchanged, until the updates of the step are done.
  virtual void Inspect(int64_t begin, const Tensor& gradients, Stream& stream) = 0;

  // After the last Inspect of the step and ordered after it. With `replicated`, every worker has inspected all
  // gradients, and decides alike by itself; otherwise the workers have inspected each trained gradient once, all
  // together, and share what they found, which is collective.
  virtual Status Decide(bool replicated, Stream& stream) = 0;

  // What every update of the step is given.
  virtual UpdateControl control() const = 0;

  // What Decide has multiplied the scale of losses by, from the next step on, in the device's memory; null if losses
  // are not scaled.
  virtual const float* scale_change() const { return nullptr; }
};

// Lets every update pass as it is.
class NoGuard : public GradientGuard {
 public:
  bool waits_for_all() const override { return false; }
  void Inspect(int64_t, const Tensor&, Stream&) override {}
  Status Decide(bool, Stream&) override { return absl::OkStatus(); }
  UpdateControl control() const override { return {}; }
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_GRADIENT_GUARD_H_

// Decides on the device whether a step's update reaches the weights, so that the host may learn of it later.
//
// A loss that is not finite, of any worker, halts the updates from that step on: the host reads results a step late on
// devices that run ahead of it, and the weights have to be those of the last good step when it ends the run. Or such a
// step is left out on all workers, one with gradients that are not finite too, and what its forward pass did to running
// statistics is undone; that halts after too many in a row.
//
// In float16, gradients are computed of the loss times a scale, so that small ones do not vanish (Micikevicius et al.,
// "Mixed Precision Training", ICLR 2018, section 3.2), and taken back times its inverse in the update. The scale is
// dynamic: a reduced gradient that is not finite skips the step, on all workers alike, and halves the scale;
// `growth_steps` good steps in a row double it. It stays a power of two, which costs no bits.
//
// Gradients may be clipped by their global norm (Pascanu et al., "On the difficulty of training recurrent neural
// networks", ICML 2013, algorithm 1; as torch.nn.utils.clip_grad_norm_): with a norm of more than `clip_norm` over all
// trained parameters, the update takes them times clip_norm / (norm + 1e-6). The norm is that of the reduced gradients
// without the scale of the losses. One that is not finite halts the updates as a loss does, or in float16 skips the
// step.
//
// All work is enqueued on the stream that is given, and may be recorded with a step.
#ifndef TRIREME_CORE_TRAIN_STEP_GUARD_H_
#define TRIREME_CORE_TRAIN_STEP_GUARD_H_

#include <cstdint>

#include "core/api/communicator.h"
#include "core/api/gradient_guard.h"
#include "core/api/strategy.h"
#include "core/tensor/tensor.h"

namespace trireme {

struct LossScaleOptions {
  bool enabled = false;
  float initial = 65536;
  int growth_steps = 2000;
};

struct StepGuardOptions {
  LossScaleOptions loss_scale;
  int most_not_finite_in_a_row = 0;  // such steps are left out; 0: the first one halts
  float clip_norm = 0;               // 0: gradients are not clipped, and their norm is not known
};

class StepGuard : public GradientGuard {
 public:
  // All outlive the guard. The same options on every worker.
  StepGuard(const ParameterArena& arena, Communicator& communicator, const StepGuardOptions& options);

  // Once a step, before the strategy's Step: begins the step's decision. `rows` float32 [workers, n]: each worker's
  // losses begin at column `first_loss`.
  void InspectLosses(const Tensor& rows, int64_t first_loss, Stream& stream);

  bool waits_for_all() const override { return scales() || clips() || skips(); }
  void Inspect(int64_t begin, const Tensor& gradients, Stream& stream) override;
  Status Decide(bool replicated, Stream& stream) override;
  UpdateControl control() const override;
  const float* scale_change() const override;

  // Around a step: what is kept of `buffers` before it comes back if the step is left out. Where none is, they do
  // nothing.
  void KeepBuffers(const Tensor& buffers, Stream& stream);
  void RestoreBuffersIfLeftOut(const Tensor& buffers, Stream& stream) const;

  // What the loss is multiplied by, in the device's memory; null if it is not scaled.
  const float* loss_scale() const;
  // What a checkpoint has to keep, float32 [2]: the scale, and the good steps since it last changed.
  Tensor state() const { return numbers_.Flat(0, 2); }
  // Of the step that was decided last, float32 [3]: whether it was applied (1 or 0), its scale, and the norm of its
  // gradients before they were clipped (0 where it is not known).
  static constexpr int64_t kSummarySize = 3;
  void WriteSummary(const Tensor& to, Stream& stream) const;

 private:
  bool scales() const { return options_.loss_scale.enabled; }
  bool clips() const { return options_.clip_norm > 0; }
  bool skips() const { return options_.most_not_finite_in_a_row > 0; }

  Communicator& communicator_;
  const StepGuardOptions options_;
  Tensor numbers_;  // float32: the scale, good steps; of this step: the scale, what gradients are multiplied by, the
                    // norm, what the scale was multiplied by
  Tensor flags_;    // int32: this step applies, updates are halted, a gradient is not finite, steps left out in a row
  Tensor squares_;  // float64 [1]: their sum, so far
  Tensor buffers_;  // before the step
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_STEP_GUARD_H_

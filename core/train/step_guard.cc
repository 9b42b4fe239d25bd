#include "core/train/step_guard.h"

#include <cmath>

#include "core/device/parallel_for.h"
#include "core/ops/sum_of_squares.h"
#include "core/train/finite.h"

namespace trireme {
namespace {

enum Number { kScale, kGoodSteps, kStepScale, kMultiplier, kNorm, kChange, kNumNumbers };
enum Flag { kApplies, kHalted, kFound, kInARow, kNumFlags };

void BeginDecision(const float* rows, int64_t num_rows, int64_t columns, int64_t first_loss, bool skips, float* numbers,
                   int32_t* flags, double* squares, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    bool odd = false;
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t column = first_loss; column < columns; ++column) {
        odd = odd || !IsFinite(rows[row * columns + column]);
      }
    }
    if (odd && !skips) flags[kHalted] = 1;
    flags[kApplies] = flags[kHalted] == 0 && !odd;
    flags[kFound] = 0;
    numbers[kStepScale] = numbers[kScale];
    numbers[kMultiplier] = 1.0f / numbers[kScale];
    numbers[kNorm] = 0;
    numbers[kChange] = 1;
    squares[0] = 0;
  });
}

struct DecisionRules {
  bool clips, scales;
  int most_not_finite_in_a_row;
  float clip_norm;
  int growth_steps;
};

// Squares of float32 values are finite in float64, and so is the sum of as many as there can be: where it is not, a
// gradient is not.
void DecideStep(const DecisionRules& rules, const double* squares, float* numbers, int32_t* flags, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    if (flags[kHalted] != 0) return;
    bool found = flags[kFound] != 0;
    if (rules.clips) {
      const double norm = sqrt(squares[0]) / numbers[kStepScale];
      numbers[kNorm] = static_cast<float>(norm);
      found = !(squares[0] - squares[0] == 0.0);
      if (!found && norm > rules.clip_norm) {
        numbers[kMultiplier] = static_cast<float>(rules.clip_norm / (norm + 1e-6) / numbers[kStepScale]);
      }
    }
    // No scale would have made a loss finite that is not.
    const bool odd_loss = flags[kApplies] == 0;
    if (odd_loss || (found && !rules.scales)) {
      flags[kApplies] = 0;
      if (++flags[kInARow] > rules.most_not_finite_in_a_row) flags[kHalted] = 1;
      return;
    }
    flags[kInARow] = 0;
    if (found) {
      flags[kApplies] = 0;
      numbers[kChange] = 0.5f;
      numbers[kGoodSteps] = 0;
    } else if (rules.scales && ++numbers[kGoodSteps] >= static_cast<float>(rules.growth_steps)) {
      numbers[kChange] = 2;
      numbers[kGoodSteps] = 0;
    }
    numbers[kScale] *= numbers[kChange];
  });
}

void CopyIfLeftOut(const int32_t* flags, const float* from, float* to, int64_t count, Stream& stream) {
  ParallelFor(stream, count, [=] TRIREME_HD(int64_t i) {
    if (flags[kApplies] == 0) to[i] = from[i];
  });
}

void Summarise(const float* numbers, const int32_t* flags, float* to, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    to[0] = static_cast<float>(flags[kApplies]);
    to[1] = numbers[kStepScale];
    to[2] = numbers[kNorm];
  });
}

}  // namespace

StepGuard::StepGuard(const ParameterArena& arena, Communicator& communicator, const StepGuardOptions& options)
    : communicator_(communicator),
      options_(options),
      numbers_(Tensor::From<float>(arena.device(), {kNumNumbers},
                                   {options.loss_scale.enabled ? options.loss_scale.initial : 1.0f, 0, 1, 1, 0, 1})),
      flags_(Tensor::From<int32_t>(arena.device(), {kNumFlags}, {1, 0, 0, 0})),
      squares_(Tensor::Zeros(arena.device(), {1}, DataType::kFloat64)) {}

void StepGuard::InspectLosses(const Tensor& rows, int64_t first_loss, Stream& stream) {
  BeginDecision(rows.data<float>(), rows.dim(0), rows.dim(1), first_loss, skips(), numbers_.data<float>(),
                flags_.data<int32_t>(), squares_.data<double>(), stream);
}

void StepGuard::Inspect(int64_t /*begin*/, const Tensor& gradients, Stream& stream) {
  if (clips()) {
    ops::AddSumOfSquares(gradients, squares_, stream);
  } else if (scales() || skips()) {
    FindNotFinite(gradients, flags_.Flat(kFound, kFound + 1), stream);
  }
}

Status StepGuard::Decide(bool replicated, Stream& stream) {
  if (!waits_for_all()) return absl::OkStatus();
  if (!replicated && communicator_.size() > 1) {
    // The sum of squares tells of gradients that are not finite, too.
    TRIREME_RETURN_IF_ERROR(
        clips() ? communicator_.AllReduce(squares_, ReduceOperation::kSum, stream)
                : communicator_.AllReduce(flags_.Flat(kFound, kFound + 1), ReduceOperation::kMax, stream));
  }
  DecideStep(
      {clips(), scales(), options_.most_not_finite_in_a_row, options_.clip_norm, options_.loss_scale.growth_steps},
      squares_.data<double>(), numbers_.data<float>(), flags_.data<int32_t>(), stream);
  return absl::OkStatus();
}

void StepGuard::KeepBuffers(const Tensor& buffers, Stream& stream) {
  if (!skips()) return;
  if (!buffers_.defined()) buffers_ = Tensor::Empty(buffers.device(), buffers.shape());
  buffers_.CopyFrom(buffers, stream);
}

void StepGuard::RestoreBuffersIfLeftOut(const Tensor& buffers, Stream& stream) const {
  if (!skips()) return;
  CopyIfLeftOut(flags_.data<int32_t>(), buffers_.data<float>(), buffers.data<float>(), buffers.size(), stream);
}

UpdateControl StepGuard::control() const {
  UpdateControl control;
  control.apply = flags_.data<int32_t>() + kApplies;
  if (waits_for_all()) control.gradient_multiplier = numbers_.data<float>() + kMultiplier;
  return control;
}

const float* StepGuard::scale_change() const { return scales() ? numbers_.data<float>() + kChange : nullptr; }

const float* StepGuard::loss_scale() const { return scales() ? numbers_.data<float>() + kScale : nullptr; }

void StepGuard::WriteSummary(const Tensor& to, Stream& stream) const {
  CHECK_EQ(to.size(), kSummarySize);
  Summarise(numbers_.data<float>(), flags_.data<int32_t>(), to.data<float>(), stream);
}

}  // namespace trireme

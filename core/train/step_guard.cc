#include "core/train/step_guard.h"

#include <cmath>

#include "core/device/parallel_for.h"
#include "core/ops/sum_of_squares.h"

namespace trireme {
namespace {

enum Number { kScale, kGoodSteps, kStepScale, kMultiplier, kNorm, kNumNumbers };
enum Flag { kApplies, kHalted, kFound, kNumFlags };

// Neither infinite nor not a number.
TRIREME_HD inline bool IsFinite(float x) { return x - x == 0.0f; }

void BeginDecision(const float* rows, int64_t num_rows, int64_t columns, int64_t first_loss, float* numbers,
                   int32_t* flags, double* squares, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t column = first_loss; column < columns; ++column) {
        if (!IsFinite(rows[row * columns + column])) flags[kHalted] = 1;
      }
    }
    flags[kApplies] = flags[kHalted] == 0;
    flags[kFound] = 0;
    numbers[kStepScale] = numbers[kScale];
    numbers[kMultiplier] = 1.0f / numbers[kScale];
    numbers[kNorm] = 0;
    squares[0] = 0;
  });
}

// Threads that find something store the same value, which no order can change.
TRIREME_HD inline void Raise(int32_t* flag) {
#ifdef __CUDA_ARCH__
  *flag = 1;
#else
  __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
#endif
}

void FindNotFinite(const float* values, int64_t count, int32_t* found, Stream& stream) {
  ParallelFor(stream, count, [=] TRIREME_HD(int64_t i) {
    if (!IsFinite(values[i])) Raise(found);
  });
}

// Squares of float32 values are finite in float64, and so is the sum of as many as there can be: where it is not, a
// gradient is not.
void Clip(float clip_norm, bool skips, const double* squares, float* numbers, int32_t* flags, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    const double norm = sqrt(squares[0]) / numbers[kStepScale];
    numbers[kNorm] = static_cast<float>(norm);
    if (!(squares[0] - squares[0] == 0.0)) {
      flags[kFound] = 1;
      flags[kApplies] = 0;
      if (!skips) flags[kHalted] = 1;
    } else if (norm > clip_norm) {
      numbers[kMultiplier] = static_cast<float>(clip_norm / (norm + 1e-6) / numbers[kStepScale]);
    }
  });
}

void DecideAndRescale(int growth_steps, float* numbers, int32_t* flags, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    if (flags[kHalted] != 0) return;
    if (flags[kFound] != 0) {
      flags[kApplies] = 0;
      numbers[kScale] *= 0.5f;
      numbers[kGoodSteps] = 0;
    } else if (++numbers[kGoodSteps] >= static_cast<float>(growth_steps)) {
      numbers[kScale] *= 2;
      numbers[kGoodSteps] = 0;
    }
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
                                   {options.loss_scale.enabled ? options.loss_scale.initial : 1.0f, 0, 1, 1, 0})),
      flags_(Tensor::From<int32_t>(arena.device(), {kNumFlags}, {1, 0, 0})),
      squares_(Tensor::Zeros(arena.device(), {1}, DataType::kFloat64)) {}

void StepGuard::InspectLosses(const Tensor& rows, int64_t first_loss, Stream& stream) {
  BeginDecision(rows.data<float>(), rows.dim(0), rows.dim(1), first_loss, numbers_.data<float>(),
                flags_.data<int32_t>(), squares_.data<double>(), stream);
}

void StepGuard::Inspect(int64_t, const Tensor& gradients, Stream& stream) {
  if (clips()) {
    ops::AddSumOfSquares(gradients, squares_, stream);
  } else if (scales()) {
    FindNotFinite(gradients.data<float>(), gradients.size(), flags_.data<int32_t>() + kFound, stream);
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
  if (clips()) {
    Clip(options_.clip_norm, scales(), squares_.data<double>(), numbers_.data<float>(), flags_.data<int32_t>(), stream);
  }
  if (scales()) {
    DecideAndRescale(options_.loss_scale.growth_steps, numbers_.data<float>(), flags_.data<int32_t>(), stream);
  }
  return absl::OkStatus();
}

UpdateControl StepGuard::control() const {
  UpdateControl control;
  control.apply = flags_.data<int32_t>() + kApplies;
  if (waits_for_all()) control.gradient_multiplier = numbers_.data<float>() + kMultiplier;
  return control;
}

const float* StepGuard::loss_scale() const { return scales() ? numbers_.data<float>() + kScale : nullptr; }

void StepGuard::WriteSummary(const Tensor& to, Stream& stream) const {
  CHECK_EQ(to.size(), kSummarySize);
  Summarise(numbers_.data<float>(), flags_.data<int32_t>(), to.data<float>(), stream);
}

}  // namespace trireme

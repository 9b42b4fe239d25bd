// An exponential moving average of a model's weights over the steps of a run (Polyak, Juditsky: "Acceleration of
// stochastic approximation by averaging", 1992, in the form of Tarvainen, Valpola: "Mean teachers", 2017, equation of
// section 2): after each step that was applied, average += (1 - d) (weights - average). Of step t, counted from 1, d is
// decay (1 - e^(-t / warmup_steps)), as YOLOX has it, so that the weights of the beginning are soon forgotten. Running
// statistics are averaged too. It is the average that is evaluated and saved as the model; training goes on from the
// weights themselves, which never see it.
//
// Each worker averages its own arena, so no strategy knows of it. Where workers' arenas differ, rank 0's counts: of
// local_sgd and asynchronous strategies it is the average of what rank 0 had after each of its steps, before it met the
// others.
#ifndef TRIREME_CORE_TRAIN_WEIGHT_AVERAGE_H_
#define TRIREME_CORE_TRAIN_WEIGHT_AVERAGE_H_

#include <cstdint>
#include <functional>

#include "core/api/communicator.h"
#include "core/api/optimizer.h"
#include "core/nn/parameter_arena.h"
#include "core/tensor/tensor.h"

namespace trireme {

struct WeightAverageOptions {
  double decay = 0.9998;        // 0 to less than 1
  int64_t warmup_steps = 2000;  // 0: d is decay from the first step on
};

class WeightAverage {
 public:
  // Begins as the arena's weights, which are to be there; the arena outlives it. May throw DeviceError.
  WeightAverage(const ParameterArena& arena, const WeightAverageOptions& options);

  // Before step `step`, counted from 0; never part of a recorded step.
  void BeginStep(int64_t step, Stream& stream);
  // After the step's update, in order of `stream`; may be recorded with it.
  void Update(const UpdateControl& control, Stream& stream) const;

  // The average goes to where the weights are, and they to where it was; so a second call undoes the first. In order of
  // the compute stream, between steps.
  void Exchange() const;

 private:
  const ParameterArena& arena_;
  const WeightAverageOptions options_;
  const Tensor values_, buffers_;  // as the arena's
  const Tensor share_;             // float32 [1]: 1 - d of this step
};

// Calls `work` while every worker's arena has rank 0's average; then each has its own weights again. Collective, as far
// as `work` is.
Status WithAverageOfRankZero(const WeightAverage& average, const ParameterArena& arena, Communicator& communicator,
                             const std::function<Status()>& work);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_WEIGHT_AVERAGE_H_

// Trainings of a small network on generated scenes with the real loader, trainer and strategies, as one call: what a
// test asks for, and what came of it.
//
// The network says where an image's first object lies. Its loss is divided by the number of images of the whole batch,
// so a batch that is worked off in parts has the loss of the whole. One of its layers is used twice.
#ifndef TRIREME_TESTS_TRAINING_SMALL_TRAINING_H_
#define TRIREME_TESTS_TRAINING_SMALL_TRAINING_H_

#include <optional>
#include <string>
#include <vector>

#include "core/nn/norm.pb.h"
#include "core/train/trainer.h"

namespace trireme::testing {

struct SmallPlan {
  int workers = 1;
  int global_batch_size = 12;
  int accumulate_steps = 1;
  int64_t first_step = 0, steps = 20;
  std::string strategy;  // as behind `strategy` in a config; empty: a ring, or for one worker single
  NormConfig::Mode norm = NormConfig::FROZEN;
  Precision precision = Precision::kFloat32;
  StepGuardOptions guard;
  int min_objects = 1;
  float learning_rate = 0.05f;
  std::optional<WeightAverageOptions> average;
  uint64_t asynchronous = 0;  // the seed of an asynchronous device; 0: the CPU
  std::string run_folder;     // empty: nothing is saved
  std::string resume;         // a checkpoint
};

struct SmallOutcome {
  Status status;
  std::vector<std::vector<float>> parameters;  // by rank, padding left out
  std::vector<std::vector<float>> buffers;     // by rank
  std::vector<std::vector<float>> averages;    // by rank, of the parameters; empty without
  std::vector<std::vector<float>> state;       // by rank: the optimizer's and the strategy's
  std::vector<StepReport> steps;
  std::vector<int64_t> peak_activations;  // by rank, bytes
  std::vector<int64_t> bytes_sent;        // by rank
  int num_recorded = 0;                   // by rank 0
};

SmallOutcome TrainSmall(const SmallPlan& plan);

// Ends behind the first `steps` steps, and goes on from the checkpoint: what came of the second part.
SmallOutcome TrainSmallInterrupted(const SmallPlan& plan, int64_t steps);

// || a - b || / || a ||.
double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_TRAINING_SMALL_TRAINING_H_

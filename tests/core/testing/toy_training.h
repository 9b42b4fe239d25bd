// The smallest parts that a Trainer can be made of, for a CPU or a device that imitates a GPU's order of events on one:
// a detector of a few weights, an optimizer with one array of state, and a strategy that reduces everything at the end.
// All their work is enqueued.
#ifndef TRIREME_TESTS_CORE_TESTING_TOY_TRAINING_H_
#define TRIREME_TESTS_CORE_TESTING_TOY_TRAINING_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/api/batch.h"
#include "core/api/detector.h"
#include "core/api/optimizer.h"
#include "core/api/schedule.h"
#include "core/api/strategy.h"
#include "core/train/optimizers/pieces.h"

namespace trireme::testing {

// Losses "fit" = sum over boxes of (weight . box - label)^2 and "size" = |weight|^2 / 100; each worker counts the boxes
// that it has seen in the buffer "seen". A label of kBadLabel makes "fit" infinite. Weights are read, and their
// gradients rounded, in the precision's type of activations.
class ToyDetector : public Detector {
 public:
  static constexpr int kBadLabel = 1000;
  ToyDetector();
  ImageSpec image_spec() const override { return {1, 1}; }
  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override;
  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images, const Tensor&) override;

 private:
  Parameter& weight_;
  Parameter& unused_;
  Buffer& seen_;
};

// momentum = 0.9 momentum + gradient; value -= learning_rate momentum.
class ToyOptimizer : public Optimizer {
 public:
  Status Setup(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces) override;
  void BeginStep(int64_t step, float learning_rate, Stream& stream) override;
  void Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) override;
  std::vector<OptimizerState> State() const override { return pieces_.State(); }

 private:
  OptimizerPieces pieces_;
  Tensor learning_rate_;
};

class ToyStrategy : public Strategy {
 public:
  // With `inspects_share`, each worker shows the guard no more than its share of the reduced gradients. It says that it
  // is settled every `settles_every` steps. Where `meets_every` is not 0 it is asynchronous: each worker goes its own
  // way, until they settle for rank 0's.
  explicit ToyStrategy(const BuildArgs& args, bool inspects_share = false, int64_t settles_every = 1,
                       int64_t meets_every = 0)
      : args_(args), inspects_share_(inspects_share), settles_every_(settles_every), meets_every_(meets_every) {}
  Status Setup() override;
  void BeginStep(int64_t step) override {
    step_ = step;
    ready_.clear();
  }
  void OnGradientReady(int index) override { ready_.push_back(index); }
  Status Step(GradientGuard& guard) override;
  bool synchronous() const override { return meets_every_ == 0; }
  bool begins_updates() const override { return !synchronous(); }
  int64_t steps_between_meetings() const override { return synchronous() ? 1 : meets_every_; }
  double exposed_communication_seconds() const override { return 0; }
  Status Meet() override {
    met_after_.push_back(step_ + 1);
    return absl::OkStatus();
  }
  bool settled(int64_t steps_done) const override { return steps_done % settles_every_ == 0; }
  void Announce(const Interruption& interruption) override { announced_ = interruption; }
  Status Settle() override;
  // The numbers of steps that were done when Settle was called.
  const std::vector<int64_t>& settled_after() const { return settled_after_; }
  // And when Meet was.
  const std::vector<int64_t>& met_after() const { return met_after_; }
  // Of the last step.
  const std::vector<int>& ready() const { return ready_; }

 private:
  const BuildArgs args_;
  const bool inspects_share_;
  const int64_t settles_every_;
  const int64_t meets_every_;
  Interruption announced_;
  int64_t step_ = -1;
  std::vector<int> ready_;
  std::vector<int64_t> settled_after_, met_after_;
};

class ToySchedule : public Schedule {
 public:
  float LearningRate(int64_t step) const override { return 0.01f / static_cast<float>(1 + step); }
};

struct ToyBatchOptions {
  int images = 4;
  int other_images = 0;    // where not 0, every other step has as many instead
  int64_t bad_step = -1;   // has a label of kBadLabel
  int64_t bad_until = -1;  // and so have those between
  int64_t huge_step = -1;  // has boxes whose gradients overflow float16 (from a loss scale of 2^10)
  int64_t moves_at = -1;   // from this step on the tensors are others
  // What else happens when a step asks for its batch; null: nothing.
  std::function<Status(int64_t step)> before;
};

// One box an image, made from the step and the rank alone, always in the same tensors.
class ToyBatches : public BatchSource {
 public:
  ToyBatches(Device& device, int rank, const ToyBatchOptions& options = {})
      : device_(device), rank_(rank), options_(options) {}
  Status Next(int64_t step, Batch* batch) override;
  double wait_seconds() const override { return 0; }

 private:
  Device& device_;
  const int rank_;
  const ToyBatchOptions options_;
  Batch batches_[2];  // of the two sizes
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_TOY_TRAINING_H_

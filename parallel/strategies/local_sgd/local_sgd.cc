// "strategy/local_sgd" (Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019, Algorithm 1): each worker
// updates its own parameters by the gradients of its own images; after every k-th step all take the average of their
// parameters and, so that they are alike in all that the next step depends on, of the optimizer's state.
//
// Losses are divided by a normaliser of the global batch, so that the workers' gradients sum up to the mean over all
// images. A worker that is to go on alone needs the mean over its own: its gradients times the number of workers, which
// is that mean where the images are divided evenly (and where a normaliser counts boxes, in expectation). So the
// average of n workers' steps is the step of one worker on all images: with k = 1 and SGD, momentum included, this is
// data_parallel.
//
// A guard that waits for all (float16, clipping) decides for all workers alike, by one number that they exchange in
// each step. The norm by which it clips is the root of the mean, over workers, of their squared norms.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/local_sgd/local_sgd.pb.h"
#include "parallel/strategies/local_sgd/scale.h"
#include "parallel/strategies/publish.h"

namespace trireme {
namespace {

class LocalSgd : public Strategy {
 public:
  LocalSgd(const LocalSgdConfig& config, const BuildArgs& args)
      : args_(args),
        average_every_(config.average_every()),
        averages_state_(config.average_optimizer_state()),
        workers_(static_cast<float>(args.communicator->size())),
        compute_(args.arena->device().compute_stream()) {}

  Status Setup() override {
    TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, {WholeArena(*args_.arena)}));
    return PublishParameters(*args_.arena, *args_.communicator);
  }
  void BeginStep(int64_t step) override {
    step_ = step;
    communication_seconds_ = 0;
  }
  void OnGradientReady(int) override {}

  Status Step(GradientGuard& guard) override {
    const Tensor& gradients = args_.arena->gradients();
    if (guard.waits_for_all()) {
      // So that the sum of all workers' squares is the mean of the squares of what they update by.
      Scale(gradients, std::sqrt(workers_), compute_);
      guard.Inspect(0, gradients, compute_);
      TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/false, compute_));
      Scale(gradients, std::sqrt(workers_), compute_);
    } else {
      Scale(gradients, workers_, compute_);
    }
    args_.optimizer->Update(0, args_.arena->size(), guard.control(), compute_);
    return settled(step_ + 1) ? Average() : absl::OkStatus();
  }

  // The trainer's sense of it: all take part in what it gathers in each step.
  bool synchronous() const override { return true; }
  // Steps with and without an average differ.
  bool can_capture() const override { return average_every_ == 1; }
  bool settled(int64_t steps_done) const override { return steps_done % average_every_ == 0; }
  Status Settle() override {
    if (settled(step_ + 1)) return absl::OkStatus();
    TRIREME_RETURN_IF_ERROR(Average());
    compute_.Synchronize();
    return args_.communicator->status();
  }
  std::vector<std::pair<std::string, Tensor>> State() const override {
    std::vector<std::pair<std::string, Tensor>> own;
    if (averages_state_) return own;
    for (const OptimizerState& state : args_.optimizer->State()) own.emplace_back(state.name, state.values);
    return own;
  }
  // All of it is exposed, and the communicator counts it.
  double exposed_communication_seconds() const override { return 0; }
  double communication_seconds() const override { return communication_seconds_; }

 private:
  Status Average() {
    if (args_.communicator->size() == 1) return absl::OkStatus();
    const double busy_before = args_.communicator->busy_seconds();
    const Status status = AverageAll();
    communication_seconds_ += args_.communicator->busy_seconds() - busy_before;
    return Annotate(status, absl::StrCat("strategy/local_sgd: rank ", args_.communicator->rank(), ", step ", step_,
                                         ", the average"));
  }

  // What is trained: a frozen parameter's average could differ from it in the last bit.
  Status AverageAll() {
    std::vector<Tensor> arrays = {args_.arena->values()};
    if (averages_state_) {
      for (const OptimizerState& state : args_.optimizer->State()) arrays.push_back(state.values);
    }
    for (const Tensor& array : arrays) {
      int64_t begin = 0, end = 0;  // of neighbours that are trained
      for (const Parameter* parameter : args_.arena->parameters()) {
        if (!parameter->options.trainable) {
          TRIREME_RETURN_IF_ERROR(AverageRange(array, begin, end));
          begin = end = 0;
          continue;
        }
        if (begin == end) begin = parameter->offset;
        end = parameter->offset + parameter->shape.size();
      }
      TRIREME_RETURN_IF_ERROR(AverageRange(array, begin, end));
    }
    return absl::OkStatus();
  }

  Status AverageRange(const Tensor& array, int64_t begin, int64_t end) {
    if (begin == end) return absl::OkStatus();
    const Tensor range = array.Flat(begin, end);
    TRIREME_RETURN_IF_ERROR(args_.communicator->AllReduce(range, ReduceOperation::kSum, compute_));
    Scale(range, 1 / workers_, compute_);
    return absl::OkStatus();
  }

  const BuildArgs args_;
  const int64_t average_every_;
  const bool averages_state_;
  const float workers_;
  Stream& compute_;
  int64_t step_ = -1;
  double communication_seconds_ = 0;
};

StatusOr<std::unique_ptr<Strategy>> MakeLocalSgd(const LocalSgdConfig& config, const Strategy::BuildArgs& args) {
  if (config.average_every() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("average_every is ", config.average_every(), "; it has to be at least 1"));
  }
  return std::unique_ptr<Strategy>(std::make_unique<LocalSgd>(config, args));
}

TRIREME_REGISTER_COMPONENT("strategy/local_sgd", Strategy, LocalSgdConfig, MakeLocalSgd);

}  // namespace
}  // namespace trireme

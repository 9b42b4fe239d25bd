// "strategy/local_sgd" (Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019, Algorithm 1): each worker
// updates its own parameters by the gradients of its own images, as if these were the batch; after every k-th step all
// take the average of their parameters and, so that they are alike in all that the next step depends on, of running
// statistics and the optimizer's state.
//
// Between averages workers neither communicate nor wait: losses are gathered, and a stop is agreed on, when they
// average (the workers' "meetings", see core/api/strategy.h), and each judges by itself which of its gradients overflow
// float16 or are clipped. A step that one of them skips is a step less in the average.
//
// The average of n workers' steps by plain SGD from the same weights is one step by the mean of their gradients, and so
// with momentum that is averaged, too: with k = 1 this is data_parallel, where losses and norm are of each worker's own
// images (as DistributedDataParallel has it).
#include "absl/strings/str_cat.h"
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/local_sgd/local_sgd.pb.h"
#include "parallel/strategies/mean.h"
#include "parallel/strategies/mean_buffers.h"
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
        compute_(args.arena->device().compute_stream()),
        buffers_(*args.arena, args.communicator->rank(), args.communicator->size()) {}

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
    if (guard.waits_for_all()) {
      guard.Inspect(0, args_.arena->gradients(), compute_);
      TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/true, compute_));
    }
    args_.optimizer->Update(0, args_.arena->size(), guard.control(), compute_);
    return absl::OkStatus();
  }

  bool synchronous() const override { return false; }
  int64_t steps_between_meetings() const override { return average_every_; }
  Status Meet() override {
    averaged_after_ = step_;
    return Average();
  }
  bool settled(int64_t steps_done) const override { return steps_done % average_every_ == 0; }
  Status Settle() override {
    if (averaged_after_ == step_) return absl::OkStatus();
    TRIREME_RETURN_IF_ERROR(Meet());
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
    return buffers_.Take(*args_.communicator);
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
  MeanBuffers buffers_;
  int64_t step_ = -1, averaged_after_ = -1;
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

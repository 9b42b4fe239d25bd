#include "tests/training/small_training.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/registry.h"
#include "core/device/parallel_for.h"
#include "core/nn/layers.h"
#include "core/ops/losses.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"
#include "core/train/checkpoint.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/optimizers/sgd.pb.h"
#include "core/train/weights.h"
#include "data/loader/loader.h"
#include "data/shapes/shapes.h"
#include "tests/core/testing/async_device.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme::testing {
namespace {

constexpr int kSize = 48;
constexpr int kChannels = 16;

NormConfig Norm(NormConfig::Mode mode) {
  NormConfig config;
  config.set_mode(mode);
  return config;
}

ops::ConvOptions Options(int stride) {
  ops::ConvOptions options;
  options.stride = stride;
  options.padding = 1;
  return options;
}

void WriteTargets(const Batch& batch, const Tensor& targets, const Tensor& weights, const Tensor& count,
                  Stream& stream) {
  const int64_t objects = batch.labels.dim(1), images = batch.labels.dim(0);
  const float* boxes = batch.boxes.data<float>();
  float *target = targets.data<float>(), *weight = weights.data<float>(), *number = count.data<float>();
  ParallelFor(stream, images, [=](int64_t i) {
    for (int d = 0; d < 4; ++d) target[4 * i + d] = boxes[4 * objects * i + d] / kSize;
    weight[i] = 1;
    if (i == 0) number[0] = static_cast<float>(images);
  });
}

class Locator : public Detector {
 public:
  explicit Locator(NormConfig::Mode norm)
      : first_(AddModule<Conv2d>("first", 3, kChannels, 3, Options(2), false)),
        norm_(AddModule<Norm2d>("norm", kChannels, Norm(norm), ops::Activation::kRelu)),
        twice_(AddModule<Conv2d>("twice", kChannels, kChannels, 3, Options(1), true)),
        last_(AddModule<Conv2d>("last", kChannels, 4, 1, ops::ConvOptions(), true)) {}

  ImageSpec image_spec() const override { return {kSize, kSize}; }

  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override {
    const float mean[3] = {128, 128, 128}, deviation[3] = {64, 64, 64};
    Stream& stream = context.stream();
    Var x = first_.Forward(context, ops::NormalizeImages(context, batch.images, mean, deviation));
    x = norm_.Forward(context, x);
    for (int i = 0; i < 2; ++i) x = ops::Relu(context, twice_.Forward(context, x));
    const int64_t images = batch.images.dim(0);
    x = ops::Reshape(context, ops::GlobalAveragePool(context, x), {images, 1, 1, kChannels});
    x = last_.Forward(context, x);
    const Var places = ops::Reshape(context, ops::Cast(context, x, DataType::kFloat32), {images, 4});
    const Tensor targets = Tensor::Empty(context.device, {images, 4}),
                 weights = Tensor::Empty(context.device, {images});
    const Tensor count = Tensor::Empty(context.device, {1});
    WriteTargets(batch, targets, weights, count, stream);
    if (context.communicator != nullptr && context.communicator->size() > 1) {
      TRIREME_RETURN_IF_ERROR(context.communicator->AllReduce(count, ReduceOperation::kSum, stream));
    }
    return NamedLosses{{"place", ops::SmoothL1(context, places, targets, weights, count)}};
  }

  StatusOr<std::vector<Detections>> Detect(Context&, const Tensor& images, const Tensor&) override {
    return std::vector<Detections>(images.dim(0));
  }

 private:
  const Conv2d& first_;
  const Norm2d& norm_;
  const Conv2d& twice_;
  const Conv2d& last_;
};

class ConstantRate : public Schedule {
 public:
  explicit ConstantRate(float rate) : rate_(rate) {}
  float LearningRate(int64_t) const override { return rate_; }

 private:
  const float rate_;
};

class Notes : public TrainObserver {
 public:
  void OnUnreached(const std::vector<std::string>& parameters) override {
    ADD_FAILURE() << "no gradient came to " << parameters.size() << " parameters, " << parameters[0] << " first";
  }
  void OnStep(const StepReport& report) override { steps.push_back(report); }
  void OnEvaluation(int64_t, const EvaluationReport&) override {}
  void OnCheckpoint(int64_t) override {}
  std::vector<StepReport> steps;
};

std::unique_ptr<Dataset> Scenes(int min_objects, FaultLog* faults) {
  ShapesDatasetConfig config;
  config.set_num_images(40);  // epochs end within steps
  config.set_width(kSize);
  config.set_height(kSize);
  config.set_min_objects(min_objects);
  return MakeShapes(config, {faults}).value();
}

std::string StrategyOf(const SmallPlan& plan) {
  if (!plan.strategy.empty()) return plan.strategy;
  return plan.workers == 1 ? "[strategy/single] {}" : "[strategy/ring_all_reduce] { buckets { size_mb: 0.003 } }";
}

Status Train(const SmallPlan& plan, const Dataset& scenes, FaultLog* faults, Communicator& communicator, Device& device,
             Notes* notes, SmallOutcome* outcome) {
  const int rank = communicator.rank(), world = communicator.size();
  Locator detector(plan.norm);
  TRIREME_ASSIGN_OR_RETURN(const auto arena,
                           ParameterArena::Build(&detector, device, world, 1, ActivationType(plan.precision)));
  TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/sgd", SgdConfig()));
  TRIREME_ASSIGN_OR_RETURN(const auto strategy,
                           MakeStrategy(StrategyOf(plan), {arena.get(), optimizer.get(), &communicator}));
  if (!plan.resume.empty()) TRIREME_RETURN_IF_ERROR(LoadWeights(ModelFile(plan.resume), arena.get()));
  std::unique_ptr<WeightAverage> average;
  if (plan.average.has_value()) {
    average = std::make_unique<WeightAverage>(*arena, *plan.average);
    if (!plan.resume.empty()) TRIREME_RETURN_IF_ERROR(LoadWeights(TrainedFile(plan.resume), arena.get()));
  }
  const CheckpointParts of_checkpoint = {arena.get(), optimizer.get(), strategy.get(), {}, average.get()};
  TRIREME_RETURN_IF_ERROR(strategy->Setup());
  if (!plan.resume.empty()) TRIREME_RETURN_IF_ERROR(LoadTrainingState(plan.resume, rank, of_checkpoint));
  StepGuardOptions of_guard = plan.guard;
  of_guard.loss_scale.enabled = plan.precision == Precision::kFloat16;
  StepGuard guard(*arena, communicator, of_guard);
  LoaderOptions of_loader;
  of_loader.global_batch_size = plan.global_batch_size / plan.accumulate_steps;
  of_loader.batches_per_step = plan.accumulate_steps;
  of_loader.rank = rank;
  of_loader.world_size = world;
  of_loader.image = {kSize, kSize};
  TRIREME_RETURN_IF_ERROR(Loader::Check(scenes, of_loader));
  Loader loader(&scenes, {}, faults, &device, of_loader);
  ConstantRate schedule(plan.learning_rate);

  Trainer::Parts parts;
  parts.device = &device;
  parts.communicator = &communicator;
  parts.detector = &detector;
  parts.arena = arena.get();
  parts.optimizer = optimizer.get();
  parts.schedule = &schedule;
  parts.strategy = strategy.get();
  parts.guard = &guard;
  parts.average = average.get();
  parts.batches = &loader;
  parts.observer = rank == 0 ? notes : nullptr;
  parts.save_checkpoint = [&](int64_t done) -> Status {
    if (plan.run_folder.empty()) return absl::OkStatus();
    CheckpointInfo info;
    info.step = done;
    info.world_size = world;
    return SaveCheckpoint(plan.run_folder, 2, info, of_checkpoint, communicator);
  };
  TrainerOptions options;
  options.first_step = plan.first_step;
  options.total_steps = plan.steps;
  options.accumulate_steps = plan.accumulate_steps;
  options.step.precision = plan.precision;
  {
    Trainer trainer(parts, options);
    TRIREME_RETURN_IF_ERROR(trainer.Run());
    if (rank == 0) outcome->num_recorded = trainer.step().num_recorded();
  }
  const Parameter& last = *arena->parameters().back();
  const int64_t end = last.offset + last.shape.size();
  outcome->parameters[rank] = arena->values().Flat(0, end).ToVector<float>();
  if (average != nullptr) {
    average->Exchange();
    outcome->averages[rank] = arena->values().Flat(0, end).ToVector<float>();
    average->Exchange();
  }
  outcome->buffers[rank] = arena->buffer_values().ToVector<float>();
  std::vector<Tensor> state;
  for (const OptimizerState& of_optimizer : optimizer->State()) state.push_back(of_optimizer.values);
  for (const auto& [name, of_strategy] : strategy->State()) state.push_back(of_strategy);
  for (const Tensor& tensor : state) {
    const std::vector<float> values = tensor.ToVector<float>();
    outcome->state[rank].insert(outcome->state[rank].end(), values.begin(), values.end());
  }
  outcome->peak_activations[rank] = device.memory().peak[static_cast<int>(MemoryKind::kActivations)];
  outcome->bytes_sent[rank] = communicator.bytes_sent();
  return absl::OkStatus();
}

}  // namespace

SmallOutcome TrainSmall(const SmallPlan& plan) {
  SmallOutcome outcome;
  const size_t workers = static_cast<size_t>(plan.workers);
  outcome.parameters.resize(workers);
  outcome.buffers.resize(workers);
  outcome.averages.resize(workers);
  outcome.state.resize(workers);
  outcome.peak_activations.resize(workers);
  outcome.bytes_sent.resize(workers);
  FaultLog faults;
  const auto scenes = Scenes(plan.min_objects, &faults);
  Notes notes;
  const auto worker = [&](Communicator& communicator, Device& device) {
    return Train(plan, *scenes, &faults, communicator, device, &notes, &outcome);
  };
  outcome.status =
      plan.asynchronous == 0 ? RunJob(plan.workers, worker) : RunAsyncJob(plan.workers, plan.asynchronous, worker);
  outcome.steps = std::move(notes.steps);
  return outcome;
}

SmallOutcome TrainSmallInterrupted(const SmallPlan& plan, int64_t steps) {
  const TemporaryFolder run;
  SmallPlan first = plan;
  first.steps = steps;
  first.run_folder = run.path();
  const SmallOutcome begun = TrainSmall(first);
  if (!begun.status.ok()) return begun;
  SmallPlan second = plan;
  second.run_folder = run.path();
  second.first_step = steps;
  second.resume = *FindCheckpoint(run.path());
  return TrainSmall(second);
}

double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  CHECK_EQ(a.size(), b.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(difference / norm);
}

}  // namespace trireme::testing

#include "tests/parallel/strategies/toy_job.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "core/api/lone_communicator.h"
#include "core/train/checkpoint.h"
#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/sgd.pb.h"
#include "core/train/weights.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/jobs.h"
#include "tests/parallel/testing/nccl_jobs.h"

namespace trireme {
namespace {

// One worker of the job.
class ToyWorker {
 public:
  ToyWorker(const ToyJob& job, Communicator& communicator, Device& device)
      : job_(job), communicator_(communicator), device_(device) {}

  Status Run(ToyOutcome* outcome) {
    const int rank = communicator_.rank();
    // Seeds differ on purpose: rank 0's weights are everybody's.
    TRIREME_ASSIGN_OR_RETURN(arena_, ParameterArena::Build(&model_, device_, job_.world, 5 + rank));
    SgdConfig sgd;
    sgd.set_weight_decay(0.01f);
    TRIREME_ASSIGN_OR_RETURN(optimizer_, job_.adam ? MakeComponent<Optimizer>("optimizer/adam", AdamConfig())
                                                   : MakeComponent<Optimizer>("optimizer/sgd", sgd));
    Strategy::BuildArgs args;
    args.arena = arena_.get();
    args.optimizer = optimizer_.get();
    args.communicator = &communicator_;
    args.may_skip = job_.guard.loss_scale.enabled || job_.guard.most_not_finite_in_a_row > 0;
    TRIREME_ASSIGN_OR_RETURN(strategy_, MakeStrategy(job_.strategy, args));
    const bool synchronous = strategy_->synchronous();
    StepGuard guard(*arena_, synchronous ? communicator_ : static_cast<Communicator&>(alone_), job_.guard);
    CheckpointParts parts = {arena_.get(), optimizer_.get(), strategy_.get(), {}};
    if (job_.guard.loss_scale.enabled) parts.run_state = {{"loss_scale", guard.state()}};
    int64_t first = 0;
    if (!job_.resume_from.empty()) {
      TRIREME_ASSIGN_OR_RETURN(const CheckpointInfo info, ReadCheckpointInfo(job_.resume_from));
      first = info.step;
      TRIREME_RETURN_IF_ERROR(LoadWeights(ModelFile(job_.resume_from), arena_.get()));
    }
    TRIREME_RETURN_IF_ERROR(strategy_->Setup());
    if (first > 0) TRIREME_RETURN_IF_ERROR(LoadTrainingState(job_.resume_from, rank, parts));
    gradients_ = Tensor::Zeros(device_, {arena_->size()});
    losses_ = Tensor::Zeros(device_, {job_.world, 1});
    summary_ = Tensor::Zeros(device_, {StepGuard::kSummarySize});
    for (int64_t step = first; step < job_.steps; ++step) {
      TRIREME_RETURN_IF_ERROR(RunStep(step, step - first, guard));
      if (!synchronous && (step + 1) % strategy_->steps_between_meetings() == 0) {
        TRIREME_RETURN_IF_ERROR(strategy_->Meet());
      }
      if (graph_ == nullptr) outcome->applied[rank].push_back(summary_.ToVector<float>()[0] != 0);
    }
    TRIREME_RETURN_IF_ERROR(strategy_->Settle());
    device_.compute_stream().Synchronize();
    TRIREME_RETURN_IF_ERROR(communicator_.status());
    if (!job_.save_to.empty()) {
      CheckpointInfo info;
      info.step = job_.steps;
      info.world_size = job_.world;
      TRIREME_RETURN_IF_ERROR(SaveCheckpoint(job_.save_to, 1, info, parts, communicator_));
    }
    const Parameter& last = *arena_->parameters().back();
    outcome->values[rank] = arena_->values().Flat(0, last.offset + last.shape.size()).ToVector<float>();
    for (const OptimizerState& state : optimizer_->State()) {
      const std::vector<float> values = state.values.ToVector<float>();
      outcome->state[rank].insert(outcome->state[rank].end(), values.begin(), values.end());
    }
    if (rank == 0) outcome->num_recorded = graph_ != nullptr ? 1 : 0;
    graph_.reset();
    return absl::OkStatus();
  }

 private:
  Status RunStep(int64_t step, int64_t count, StepGuard& guard) {
    Stream& stream = device_.compute_stream();
    WriteGradients(step, guard);
    if (!strategy_->begins_updates()) optimizer_->BeginStep(step, job_.learning_rate, stream);
    strategy_->BeginStep(step);
    EXPECT_TRUE(strategy_->can_capture() || job_.devices != ToyDevices::kRecorded);
    if (job_.devices != ToyDevices::kRecorded || count < 2) return Enqueue(step, guard);
    if (graph_ == nullptr) {
      device_.BeginCapture();
      TRIREME_RETURN_IF_ERROR(Enqueue(step, guard));
      graph_ = device_.EndCapture();
    }
    graph_->Launch();
    return absl::OkStatus();
  }

  // Where they are at the same address in every step.
  void WriteGradients(int64_t step, const StepGuard& guard) {
    const int images = kToyImages / job_.world, rank = communicator_.rank();
    // The mean over its own images, where they are the batch.
    float scale = strategy_->synchronous() ? 1 : static_cast<float>(job_.world);
    if (guard.loss_scale() != nullptr) scale *= guard.state().ToVector<float>()[0];
    std::vector<float> all(static_cast<size_t>(arena_->size()), 0.0f);
    for (const Parameter* parameter : arena_->parameters()) {
      if (!parameter->options.trainable) continue;
      const int64_t size = parameter->shape.size();
      for (int image = rank * images; image < (rank + 1) * images; ++image) {
        const std::vector<float> part = ToyGradient(step, image, parameter->index, size);
        for (int64_t i = 0; i < size; ++i) all[parameter->offset + i] += scale * part[i];
      }
      if (step == job_.overflow_step && rank == job_.world - 1 && parameter->index == job_.overflow_parameter) {
        all[parameter->offset] = std::numeric_limits<float>::infinity();
      }
    }
    gradients_.CopyFromHost(all.data());
  }

  // The tape's part, parameters in an order of this worker's own, and the step.
  Status Enqueue(int64_t step, StepGuard& guard) {
    Stream& stream = device_.compute_stream();
    std::vector<Parameter*> order = arena_->parameters();
    std::reverse(order.begin(), order.end());
    std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<uint32_t>(communicator_.rank() + 10 * step)));
    for (const Parameter* parameter : order) {
      if (parameter->options.trainable) {
        const int64_t begin = parameter->offset, end = begin + parameter->shape.size();
        parameter->var.AccumulateGradient(gradients_.Flat(begin, end).Reshape(parameter->shape), stream);
        parameter->var.TakeGradient();
      }
      strategy_->OnGradientReady(parameter->index);
    }
    guard.InspectLosses(losses_, 0, stream);
    TRIREME_RETURN_IF_ERROR(strategy_->Step(guard));
    guard.WriteSummary(summary_, stream);
    return absl::OkStatus();
  }

  const ToyJob& job_;
  Communicator& communicator_;
  LoneCommunicator alone_;
  Device& device_;
  ToyModel model_;
  std::unique_ptr<ParameterArena> arena_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Strategy> strategy_;
  Tensor gradients_, losses_, summary_;
  std::unique_ptr<Graph> graph_;
};

}  // namespace

ToyOutcome Train(const ToyJob& job) {
  ToyOutcome outcome;
  outcome.values.resize(job.world);
  outcome.state.resize(job.world);
  outcome.applied.resize(job.world);
  const auto worker = [&](Communicator& communicator, Device& device) {
    return ToyWorker(job, communicator, device).Run(&outcome);
  };
  switch (job.devices) {
    case ToyDevices::kInline:
      outcome.status = RunJob(job.world, worker);
      break;
    case ToyDevices::kAsynchronous:
      outcome.status = RunAsyncJob(job.world, job.seed, worker);
      break;
    case ToyDevices::kRecorded: {
      testing::NcclJobSetup setup;
      setup.seed = job.seed;
      for (const Status& status : testing::NcclTestJob().Run(job.world, setup, worker)) {
        if (outcome.status.ok()) outcome.status = status;
      }
    }
  }
  return outcome;
}

double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += a[i] * a[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace trireme

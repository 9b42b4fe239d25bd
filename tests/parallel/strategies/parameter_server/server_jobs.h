// Small jobs of the parameter server, on made-up gradients or on a quadratic.
#ifndef TRIREME_TESTS_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_JOBS_H_
#define TRIREME_TESTS_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_JOBS_H_

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/api/lone_communicator.h"
#include "core/api/schedule.h"
#include "core/api/strategy.h"
#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/sgd.pb.h"
#include "core/train/step_guard.h"
#include "parallel/strategies/parameter_server/parameter_server.pb.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {

class FixedRate : public Schedule {
 public:
  explicit FixedRate(float rate) : rate_(rate) {}
  float LearningRate(int64_t) const override { return rate_; }

 private:
  const float rate_;
};

struct ServerJob {
  ParameterServerConfig config;
  int workers = 1;
  int64_t first_step = 0, steps = 20;
  bool adam = false;
  float rate = 0.01f;
  float weight_decay = 0.01f, momentum = 0.9f;
  // Gradients lead to the mean of the images' targets, and depend on the weights; otherwise they are made up.
  bool quadratic = false;
  double timeout_seconds = 60;
  std::string over = "threads";           // the communicator: see RunJobOver
  uint64_t asynchronous = 0;              // the seed of asynchronous devices; 0: the CPU
  std::vector<float> start;               // rank 0's parameters; empty: random ones
  std::vector<std::vector<float>> state;  // by rank, as ServerOutcome has it; empty: zero
  int settle_every = 0;                   // steps; 0: at the end
  StepGuardOptions guard;
  int64_t overflow_step = -1;  // in which the last worker's gradients have an infinite element
  std::function<Status(int worker, int64_t step)> before_step, after_step;
  std::function<void(int rank, const ParameterArena& arena)> after_setup;  // before the state is loaded
  std::function<Status(const Interruption&)> on_interruption;              // on servers of their own ranks
  std::function<void(int rank)> after_run;                                 // before the strategy goes
  std::function<Status(Communicator&, Device&)> after_all;                 // when it is gone

  int servers() const { return config.num_servers() == 0 ? workers : config.num_servers(); }
  int ranks() const { return workers + (config.placement() == ParameterServerConfig::OWN_RANKS ? servers() : 0); }
};

struct ServerOutcome {
  Status status;
  std::vector<Status> statuses;             // by rank
  std::vector<std::vector<float>> values;   // by rank, without the arena's padding
  std::vector<std::vector<float>> state;    // by rank: its pieces of the optimizer's state, one after the other
  std::vector<std::vector<float>> buffers;  // by rank
  std::vector<float> loss_scale;            // by rank
  std::vector<int64_t> bytes_sent;          // by rank
};

// The images of `worker`'s share.
inline std::pair<int, int> ShareOf(int worker, int workers) {
  const int images = kToyImages / workers;
  return {worker * images, (worker + 1) * images};
}

// This worker's gradients of the whole batch's loss, where it is one of many; of its share alone where `alone`. The
// loss is multiplied by `scale`.
inline void BackwardPass(const ParameterArena& arena, const ServerJob& job, int worker, int64_t step, bool alone,
                         float scale, GradientSink* sink) {
  const auto [first, last] = ShareOf(worker, job.workers);
  const float weight = scale / static_cast<float>(alone ? last - first : kToyImages);
  for (auto it = arena.parameters().rbegin(); it != arena.parameters().rend(); ++it) {
    const Parameter& parameter = **it;
    const int64_t size = parameter.shape.size();
    if (parameter.options.trainable) {
      std::vector<float> sum(static_cast<size_t>(size), 0.0f);
      const std::vector<float> values = job.quadratic ? parameter.value().ToVector<float>() : std::vector<float>();
      for (int image = first; image < last; ++image) {
        const std::vector<float> part = ToyGradient(job.quadratic ? 0 : step, image, parameter.index, size);
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight * (job.quadratic ? values[i] - part[i] : part[i]);
      }
      if (step == job.overflow_step && worker == job.workers - 1) sum[0] = std::numeric_limits<float>::infinity();
      arena.gradients().Flat(parameter.offset, parameter.offset + size).CopyFromHost(sum.data());
    }
    sink->OnGradientReady(parameter.index);
  }
}

// The quadratic's loss, of all images.
inline double QuadraticLoss(const std::vector<float>& values, const ParameterArena& arena) {
  double loss = 0;
  for (const Parameter* parameter : arena.parameters()) {
    if (!parameter->options.trainable) continue;
    for (int image = 0; image < kToyImages; ++image) {
      const std::vector<float> target = ToyGradient(0, image, parameter->index, parameter->shape.size());
      for (size_t i = 0; i < target.size(); ++i) {
        const double d = values[static_cast<size_t>(parameter->offset) + i] - target[i];
        loss += d * d / 2 / kToyImages;
      }
    }
  }
  return loss;
}

inline Status RunServerRank(const ServerJob& job, Communicator& communicator, Device& device, ServerOutcome* outcome) {
  const int rank = communicator.rank();
  ToyModel model;
  // Seeds differ on purpose: rank 0's weights are everybody's.
  TRIREME_ASSIGN_OR_RETURN(const auto arena,
                           ParameterArena::Build(&model, device, job.ranks(), 5 + static_cast<uint64_t>(rank)));
  const Parameter& last = *arena->parameters().back();
  const int64_t size = last.offset + last.shape.size();
  if (!job.start.empty() && rank == 0) arena->values().Flat(0, size).CopyFromHost(job.start.data());
  SgdConfig sgd;
  sgd.set_weight_decay(job.weight_decay);
  sgd.set_momentum(job.momentum);
  TRIREME_ASSIGN_OR_RETURN(const auto optimizer, job.adam ? MakeComponent<Optimizer>("optimizer/adam", AdamConfig())
                                                          : MakeComponent<Optimizer>("optimizer/sgd", sgd));
  const FixedRate schedule(job.rate);
  // As in a job: the workers judge together.
  std::unique_ptr<Communicator> workers;
  if (job.ranks() > job.workers) {
    std::vector<int> ranks(static_cast<size_t>(job.workers));
    std::iota(ranks.begin(), ranks.end(), 0);
    TRIREME_ASSIGN_OR_RETURN(workers, communicator.Subset(ranks));
  }
  Strategy::BuildArgs args;
  args.may_skip = job.guard.loss_scale.enabled || job.guard.most_not_finite_in_a_row > 0;
  args.scales_losses = job.guard.loss_scale.enabled;
  args.arena = arena.get();
  args.optimizer = optimizer.get();
  args.communicator = &communicator;
  args.schedule = &schedule;
  TRIREME_ASSIGN_OR_RETURN(const auto strategy, MakeComponent<Strategy>("strategy/parameter_server", job.config, args));
  TRIREME_RETURN_IF_ERROR(strategy->Setup());
  if (job.after_setup) job.after_setup(rank, *arena);
  if (!job.state.empty()) {
    const float* from = job.state[static_cast<size_t>(rank)].data();
    for (const OptimizerState& state : optimizer->State()) {
      state.values.CopyFromHost(from);
      from += state.values.size();
    }
  }
  LoneCommunicator alone;
  const bool judges_alone = rank >= job.workers || !strategy->synchronous();
  StepGuard guard(*arena, judges_alone ? alone : workers != nullptr ? *workers : communicator, job.guard);
  const Tensor losses = Tensor::Zeros(device, {job.workers, 1});
  const auto scale = [&] { return guard.state().ToVector<float>()[0]; };
  const auto run = [&]() -> Status {
    if (rank >= job.workers) {
      while (true) {
        TRIREME_ASSIGN_OR_RETURN(const Interruption interruption, strategy->Serve());
        if (job.on_interruption) TRIREME_RETURN_IF_ERROR(job.on_interruption(interruption));
        if (interruption.steps_done == job.steps || interruption.stop) return absl::OkStatus();
      }
    }
    for (int64_t step = job.first_step; step < job.steps; ++step) {
      if (job.before_step) TRIREME_RETURN_IF_ERROR(job.before_step(rank, step));
      if (strategy->synchronous()) optimizer->BeginStep(step, job.rate, device.compute_stream());
      strategy->BeginStep(step);
      BackwardPass(*arena, job, rank, step, !strategy->synchronous(), scale(), strategy.get());
      guard.InspectLosses(losses, 0, device.compute_stream());
      TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
      EXPECT_GE(strategy->exposed_communication_seconds(), 0);
      if (job.after_step) TRIREME_RETURN_IF_ERROR(job.after_step(rank, step));
      const int64_t done = step + 1;
      if (done == job.steps || (job.settle_every > 0 && done % job.settle_every == 0)) {
        Interruption interruption;
        interruption.steps_done = done;
        interruption.checkpoint = true;
        strategy->Announce(interruption);
        TRIREME_RETURN_IF_ERROR(strategy->Settle());
      }
    }
    return absl::OkStatus();
  };
  const Status status = run();
  outcome->statuses[static_cast<size_t>(rank)] = status;
  if (!status.ok()) {
    communicator.Abort(status);
    return status;
  }
  outcome->values[static_cast<size_t>(rank)] = arena->values().Flat(0, size).ToVector<float>();
  outcome->buffers[static_cast<size_t>(rank)] = arena->buffer_values().ToVector<float>();
  outcome->loss_scale[static_cast<size_t>(rank)] = scale();
  for (const OptimizerState& state : optimizer->State()) {
    const std::vector<float> values = state.values.ToVector<float>();
    std::vector<float>& all = outcome->state[static_cast<size_t>(rank)];
    all.insert(all.end(), values.begin(), values.end());
  }
  outcome->bytes_sent[static_cast<size_t>(rank)] = communicator.bytes_sent();
  if (job.after_run) job.after_run(rank);
  return absl::OkStatus();
}

inline ServerOutcome RunServers(const ServerJob& job) {
  ServerOutcome outcome;
  const size_t ranks = static_cast<size_t>(job.ranks());
  outcome.statuses.resize(ranks);
  outcome.values.resize(ranks);
  outcome.state.resize(ranks);
  outcome.buffers.resize(ranks);
  outcome.loss_scale.resize(ranks);
  outcome.bytes_sent.resize(ranks);
  const auto worker = [&](Communicator& communicator, Device& device) -> Status {
    TRIREME_RETURN_IF_ERROR(RunServerRank(job, communicator, device, &outcome));
    return job.after_all ? job.after_all(communicator, device) : absl::OkStatus();
  };
  outcome.status = job.asynchronous > 0 ? RunAsyncJob(job.ranks(), job.asynchronous, worker, job.timeout_seconds)
                                        : RunJobOver(job.over, job.ranks(), worker, job.timeout_seconds);
  return outcome;
}

inline double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += a[i] * a[i];
  }
  return std::sqrt(difference / norm);
}

inline ServerJob MakeServerJob(int workers, int servers, ParameterServerConfig::Placement placement,
                               ParameterServerConfig::Mode mode) {
  ServerJob job;
  job.workers = workers;
  job.config.set_num_servers(servers);
  job.config.set_placement(placement);
  job.config.set_mode(mode);
  return job;
}

constexpr ParameterServerConfig::Placement kPlacements[] = {ParameterServerConfig::INSIDE_WORKERS,
                                                            ParameterServerConfig::OWN_RANKS};

constexpr const char* kCommunicators[] = {"threads", "gloo"};

inline void SetBuckets(double bytes, bool overlap, ServerJob* job) {
  job->config.mutable_buckets()->set_size_mb(bytes / (1 << 20));
  job->config.mutable_buckets()->set_first_size_mb(bytes / 2 / (1 << 20));
  job->config.mutable_buckets()->set_overlap(overlap);
}

inline std::string Which(const ServerJob& job) {
  return absl::StrCat(job.workers, " workers over ", job.over, ", ", job.config.ShortDebugString());
}

// One worker with one server is the optimizer, step by step.
inline ServerOutcome RunSingle(ServerJob job) {
  job.workers = 1;
  job.config.Clear();
  job.asynchronous = 0;
  return RunServers(job);
}

inline std::vector<float> SingleOf(const ServerJob& job) { return RunSingle(job).values[0]; }

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_JOBS_H_

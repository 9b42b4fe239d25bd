#include "tools/job/worker.h"

#include <glog/logging.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "core/api/lone_communicator.h"
#include "core/base/registry.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "core/train/checkpoint.h"
#include "core/train/serve.h"
#include "core/train/weights.h"
#include "data/loader/loader.h"
#include "data/loader/nvjpeg/nvjpeg_decoder.h"
#include "parallel/communicator/traced/traced_communicator.h"
#include "parallel/launch/process_rank.h"
#include "tools/job/abort_on_fault.h"
#include "tools/job/evaluate.h"
#include "tools/job/gather_faults.h"
#include "tools/job/job_facts.h"
#include "tools/job/learning_rate.h"
#include "tools/job/local_device.h"
#include "tools/job/pictures.h"
#include "tools/job/precision.h"
#include "tools/job/rank_zero_buffers.h"
#include "tools/job/worker_place.h"
#include "tools/trace/trace_file.h"

namespace trireme {
namespace {

StepGuardOptions GuardOptionsOf(const Config& config) {
  StepGuardOptions options;
  options.loss_scale.enabled = config.precision() == Config::FP16;
  options.loss_scale.initial = config.loss_scale().initial();
  options.loss_scale.growth_steps = config.loss_scale().growth_steps();
  if (config.not_finite() == Config::SKIP) options.most_not_finite_in_a_row = config.not_finite_limit();
  options.clip_norm = config.clip_gradient_norm();
  return options;
}

// Only what is in use is kept: a run in another precision has no scale.
RunState RunStateOf(const StepGuard& guard, Precision precision) {
  if (precision != Precision::kFloat16) return {};
  return {{"loss_scale", guard.state()}};
}

// Of all workers, by rank. Collective.
StatusOr<std::vector<MemoryStats>> GatherMemory(Device& device, Communicator& communicator) {
  constexpr int64_t kColumns = kNumMemoryKinds + 1;
  const MemoryStats mine = device.memory();
  std::vector<int64_t> peaks(static_cast<size_t>(communicator.size() * kColumns), 0);
  int64_t* const row = peaks.data() + communicator.rank() * kColumns;
  std::copy(mine.peak, mine.peak + kNumMemoryKinds, row);
  row[kNumMemoryKinds] = mine.peak_total;
  const Tensor all = Tensor::From(device, {communicator.size(), kColumns}, peaks);
  TRIREME_RETURN_IF_ERROR(communicator.AllGather(all, device.compute_stream()));
  peaks = all.ToVector<int64_t>();
  TRIREME_RETURN_IF_ERROR(communicator.status());
  std::vector<MemoryStats> memory(static_cast<size_t>(communicator.size()));
  for (size_t rank = 0; rank < memory.size(); ++rank) {
    const int64_t* const of_rank = peaks.data() + static_cast<int64_t>(rank) * kColumns;
    std::copy(of_rank, of_rank + kNumMemoryKinds, memory[rank].peak);
    memory[rank].peak_total = of_rank[kNumMemoryKinds];
  }
  return memory;
}

// What a rank of the job is made of. The ranks behind the workers only serve (see core/api/server_ranks.h).
struct Rank {
  Communicator* communicator = nullptr;   // of the whole job
  std::unique_ptr<Communicator> subset;   // of the workers, where there are other ranks too
  Communicator* among_workers = nullptr;  // null on a rank that serves
  int workers = 1;
  std::unique_ptr<Detector> detector;
  std::unique_ptr<ParameterArena> arena;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  LoneCommunicator alone;  // an asynchronous worker judges its own gradients
  std::unique_ptr<StepGuard> guard;
  std::unique_ptr<Strategy> strategy;  // the last: its threads refer to the others
};

Status Build(const Job& job, Device& device, Communicator& communicator, Rank* rank) {
  const Config& config = job.config;
  TRIREME_RETURN_IF_ERROR(AgreeOn(FactsOf(job), communicator, device));
  rank->communicator = &communicator;
  rank->workers = config.workers();
  if (rank->workers == communicator.size()) {
    rank->among_workers = &communicator;
  } else {
    std::vector<int> workers(static_cast<size_t>(rank->workers));
    std::iota(workers.begin(), workers.end(), 0);
    TRIREME_ASSIGN_OR_RETURN(rank->subset, communicator.Subset(workers));
    rank->among_workers = rank->subset.get();
  }
  TRIREME_ASSIGN_OR_RETURN(rank->detector,
                           CreateComponent<Detector>(config.model(), "model", {job.train_data->class_names()}));
  TRIREME_ASSIGN_OR_RETURN(rank->arena, ParameterArena::Build(rank->detector.get(), device, communicator.size(),
                                                              config.seed(), ActivationType(PrecisionOf(config))));
  TRIREME_ASSIGN_OR_RETURN(rank->optimizer, CreateComponent<Optimizer>(config.optimizer(), "optimizer", {}));
  TRIREME_ASSIGN_OR_RETURN(rank->schedule, MakeSchedule(job));
  // Before the strategy's Setup, which may put them elsewhere, too.
  if (!job.resume_from.empty()) {
    TRIREME_RETURN_IF_ERROR(LoadWeights(ModelFile(job.resume_from), rank->arena.get()));
  } else if (config.has_initial_weights()) {
    TRIREME_RETURN_IF_ERROR(LoadWeights(config.initial_weights(), rank->arena.get()));
  }
  const StepGuardOptions of_guard = GuardOptionsOf(config);
  Strategy::BuildArgs args;
  args.arena = rank->arena.get();
  args.optimizer = rank->optimizer.get();
  args.communicator = &communicator;
  args.schedule = rank->schedule.get();
  args.may_skip = of_guard.loss_scale.enabled || of_guard.most_not_finite_in_a_row > 0;
  args.scales_losses = of_guard.loss_scale.enabled;
  TRIREME_ASSIGN_OR_RETURN(rank->strategy, CreateComponent<Strategy>(config.strategy(), "strategy", args));
  std::vector<Fact> facts = FactsOf(*rank->arena);
  for (Fact& fact : FactsOf(*rank->strategy)) facts.push_back(std::move(fact));
  TRIREME_RETURN_IF_ERROR(AgreeOn(facts, communicator, device));
  TRIREME_RETURN_IF_ERROR(rank->strategy->Setup());
  const bool judges_alone = rank->among_workers == nullptr || !rank->strategy->synchronous();
  Communicator& judges = judges_alone ? rank->alone : *rank->among_workers;
  rank->guard = std::make_unique<StepGuard>(*rank->arena, judges, of_guard);
  return absl::OkStatus();
}

Status Work(const Job& job, Device& device, const Rank& rank, JobObserver* observer,
            const std::atomic<bool>* stop_requested, const std::function<Status(int64_t steps_done)>& save_checkpoint) {
  const Config& config = job.config;
  Communicator& communicator = *rank.among_workers;
  const bool leads = communicator.rank() == 0;
  const Precision precision = PrecisionOf(config);
  const ReadyDetector ready_detector = {*rank.detector, precision, device};
  std::vector<const Transform*> transforms;
  for (const auto& transform : job.transforms) transforms.push_back(transform.get());
  LoaderOptions loader_options;
  const int parts_of_step = config.accumulate_steps();
  loader_options.global_batch_size = config.global_batch_size() / parts_of_step;
  loader_options.batches_per_step = parts_of_step;
  loader_options.rank = communicator.rank();
  loader_options.world_size = communicator.size();
  loader_options.seed = config.seed();
  loader_options.image = rank.detector->image_spec();
  loader_options.threads = config.loader().threads();
  // A step begins when all its parts are there.
  loader_options.prefetch = config.loader().prefetch() * parts_of_step;
  TRIREME_RETURN_IF_ERROR(Loader::Check(*job.train_data, loader_options));
  std::unique_ptr<JpegDecoder> decoder;
  if (config.loader().decode() == LoaderConfig::NVJPEG) {
    TRIREME_ASSIGN_OR_RETURN(decoder, Annotate(MakeNvjpegDecoder(device), "loader.decode"));
    loader_options.decoder = decoder.get();
  }
  Loader loader(job.train_data.get(), transforms, job.faults.get(), &device, loader_options);

  TrainerOptions options;
  options.first_step = job.resumed.step;
  options.total_steps = config.steps();
  options.evaluate_every = config.evaluation().every_steps();
  options.checkpoint_every = config.checkpoint().every_steps();
  options.accumulate_steps = parts_of_step;
  options.most_not_finite_in_a_row = GuardOptionsOf(config).most_not_finite_in_a_row;
  options.step.precision = precision;
  options.step.seed = config.seed();
  options.step.may_record = config.record_steps() == Config::AUTO;

  Trainer::Parts parts;
  parts.device = &device;
  parts.communicator = &communicator;
  parts.detector = rank.detector.get();
  parts.arena = rank.arena.get();
  parts.optimizer = rank.optimizer.get();
  parts.schedule = rank.schedule.get();
  parts.strategy = rank.strategy.get();
  parts.guard = rank.guard.get();
  parts.batches = &loader;
  parts.observer = leads ? observer : nullptr;
  parts.stop_requested = stop_requested;
  parts.save_checkpoint = save_checkpoint;
  if (job.eval_data != nullptr) {
    parts.evaluate = [&](int64_t) -> StatusOr<EvaluationReport> {
      EvaluationReport report;
      TRIREME_RETURN_IF_ERROR(WithBuffersOfRankZero(*rank.arena, communicator, [&]() -> Status {
        TRIREME_ASSIGN_OR_RETURN(
            const DetectionEvaluator found,
            DetectAll(ready_detector, *job.eval_data, config, communicator, job.faults.get(), stop_requested));
        report = MakeReport(found, job.eval_data->class_names(), config.evaluation());
        return absl::OkStatus();
      }));
      return report;
    };
  }
  TRIREME_ASSIGN_OR_RETURN(const auto places, GatherWorkerPlaces(communicator, device));
  if (leads) {
    JobObserver::Setup setup;
    setup.device = device.name();
    setup.why_this_device = WhyThisDevice(config.device(), device);
    setup.workers = places;
    setup.trained_values = rank.arena->NumTrainedValues();
    setup.first_step = options.first_step;
    setup.synchronous = rank.strategy->synchronous();
    setup.server_ranks = rank.communicator->size() - rank.workers;
    observer->OnStart(setup);
  }
  const Status trained = Trainer(parts, options).Run();
  // All ranks end a run that is done, or was stopped; after a fault nobody can be asked.
  if (!trained.ok() && !absl::IsCancelled(trained)) return trained;
  TRIREME_RETURN_IF_ERROR(GatherFaults(communicator, device, job.faults.get()));
  TRIREME_RETURN_IF_ERROR(trained);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<MemoryStats> memory, GatherMemory(device, communicator));
  if (job.eval_data != nullptr && config.evaluation().pictures() > 0) {
    TRIREME_RETURN_IF_ERROR(WritePictures(ready_detector, *job.eval_data, config.evaluation().pictures(), 0.4f,
                                          communicator, job.run_folder + "/pictures"));
  }
  if (leads) observer->OnEnd(memory);
  return absl::OkStatus();
}

// From where all ranks are set up, to the end.
Status WorkOrServe(const Job& job, Device& device, const Rank& rank, JobObserver* observer,
                   const std::atomic<bool>* stop_requested) {
  const Config& config = job.config;
  const CheckpointParts checkpoint_parts = {rank.arena.get(), rank.optimizer.get(), rank.strategy.get(),
                                            RunStateOf(*rank.guard, PrecisionOf(config))};
  // After Setup, which gives every rank rank 0's buffers: with norm per worker each has its own to go on with.
  if (!job.resume_from.empty()) {
    TRIREME_RETURN_IF_ERROR(LoadTrainingState(job.resume_from, rank.communicator->rank(), checkpoint_parts));
  }
  const auto save_checkpoint = [&](int64_t steps_done) {
    CheckpointInfo info;
    info.step = steps_done;
    info.seed = config.seed();
    info.world_size = rank.workers;
    info.global_batch_size = config.global_batch_size();
    info.class_names = job.train_data->class_names();
    info.category_ids = job.train_data->category_ids();
    info.config_text = PrintText(config);
    return SaveCheckpoint(job.run_folder, config.checkpoint().keep(), info, checkpoint_parts, *rank.communicator);
  };
  if (rank.among_workers != nullptr) return Work(job, device, rank, observer, stop_requested, save_checkpoint);
  ServeParts parts;
  parts.strategy = rank.strategy.get();
  parts.communicator = rank.communicator;
  parts.save_checkpoint = save_checkpoint;
  parts.first_step = job.resumed.step;
  parts.total_steps = config.steps();
  return ServeWorkers(parts);
}

// `clock` is what a trace needs; null without one.
Status Train(const Job& job, Device& device, Communicator& communicator, JobObserver* observer,
             const std::atomic<bool>* stop_requested, JobClock* clock) {
  Rank rank;
  // A strategy that is half set up may have threads already.
  return AbortOnFault(communicator, [&]() -> Status {
    TRIREME_RETURN_IF_ERROR(Build(job, device, communicator, &rank));
    if (clock != nullptr) {
      TRIREME_ASSIGN_OR_RETURN(*clock, AgreeOnClock(communicator, device, ThisClockId(), TraceClock));
    }
    return WorkOrServe(job, device, rank, observer, stop_requested);
  });
}

// For people: who is in a trace, and what it is of.
std::string TraceNameOf(const Job& job, const Communicator& communicator, const Device& device) {
  const bool serves = communicator.rank() >= job.config.workers();
  return absl::StrCat("rank ", communicator.rank(), serves ? ", a server," : "", " on ", device.name());
}
std::string DescribeTrace(const Job& job, const Communicator& communicator) {
  const int workers = job.config.workers(), servers = communicator.size() - workers;
  const auto count = [](int n, const char* what) { return absl::StrCat(n, " ", what, n == 1 ? "" : "s"); };
  return absl::StrCat(job.name, ", ", job.config.strategy().type_url(), ", ", count(workers, "worker"),
                      servers == 0 ? "" : absl::StrCat(" and ", count(servers, "server")), ", steps ",
                      job.trace.first_step, " to ", job.trace.end_step - 1);
}

Status TrainTraced(const Job& job, Device& device, Communicator& communicator, JobObserver* observer,
                   const std::atomic<bool>* stop_requested) {
  const auto trace = std::make_shared<Trace>(communicator.rank(), job.trace.first_step, job.trace.end_step);
  const bool enqueues = !device.compute_stream().is_inline();
  const char* const role = communicator.rank() < job.config.workers() ? "worker" : "server";
  const TraceThread bound(trace, absl::StrCat(role, enqueues ? " (when it enqueues)" : ""));
  const std::unique_ptr<Communicator> traced = TraceCommunicator(communicator);
  JobClock clock;
  const Status trained =
      CatchDeviceError([&] { return Train(job, device, *traced, observer, stop_requested, &clock); });
  const std::string name = TraceNameOf(job, communicator, device), description = DescribeTrace(job, communicator);
  // All ranks end a run that is done, or was stopped; after a fault nobody can be asked.
  if (!trained.ok() && !absl::IsCancelled(trained)) {
    const Status written = WriteOwnTrace(trace.get(), name, description, job.trace.file, clock);
    if (!written.ok()) LOG(WARNING) << "--trace: " << written.message();
    return trained;
  }
  const Status written = GatherAndWriteTrace(trace.get(), name, description, job.trace.file, communicator, device);
  return trained.ok() ? Annotate(written, "--trace") : trained;
}

}  // namespace

int ThreadsPerWorker(const Config& config, int workers) {
  if (config.threads_per_worker() > 0) return config.threads_per_worker();
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / workers);
}

Status RunWorker(const Job& job, Communicator& communicator, JobObserver* observer,
                 const std::atomic<bool>* stop_requested) {
  DeviceOptions options;
  TRIREME_ASSIGN_OR_RETURN(options.name, DeviceOfThisProcess(job.config));
  TRIREME_ASSIGN_OR_RETURN(const auto place, FindProcessRank());
  // Ranks that serve leave the cores to the workers.
  const int workers = job.config.workers();
  options.threads =
      ThreadsPerWorker(job.config, place.has_value() ? std::min(place->local_world_size, workers) : workers);
  options.memory_limit = job.config.memory_limit_mb() << 20;
  options.memory_at_start = job.config.memory_at_start_mb() << 20;
  TRIREME_ASSIGN_OR_RETURN(auto device, MakeDevice(options));
  device->BindToThisThread();
  return CatchDeviceError([&] {
    return job.trace.file.empty() ? Train(job, *device, communicator, observer, stop_requested, /*clock=*/nullptr)
                                  : TrainTraced(job, *device, communicator, observer, stop_requested);
  });
}

}  // namespace trireme

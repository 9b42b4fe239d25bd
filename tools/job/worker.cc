#include "tools/job/worker.h"

#include <algorithm>
#include <thread>

#include "core/base/trace.h"
#include "core/config/config_file.h"
#include "core/train/checkpoint.h"
#include "core/train/serve.h"
#include "data/loader/loader.h"
#include "data/loader/nvjpeg/nvjpeg_decoder.h"
#include "parallel/launch/process_rank.h"
#include "tools/job/abort_on_fault.h"
#include "tools/job/evaluate.h"
#include "tools/job/first_batch_pictures.h"
#include "tools/job/gather_faults.h"
#include "tools/job/gather_memory.h"
#include "tools/job/local_device.h"
#include "tools/job/pictures.h"
#include "tools/job/precision.h"
#include "tools/job/rank_parts.h"
#include "tools/job/rank_zero_buffers.h"
#include "tools/job/trace_rank.h"

namespace trireme {
namespace {

// Pictures show what is found with this score at least.
constexpr float kPictureThreshold = 0.4f;

// Only what is in use is kept: a run in another precision has no scale.
RunState RunStateOf(const StepGuard& guard, Precision precision) {
  if (precision != Precision::kFloat16) return {};
  return {{"loss_scale", guard.state()}};
}

LoaderOptions LoaderOptionsOf(const Config& config, const ImageSpec& image, const Communicator& workers) {
  LoaderOptions options;
  const int parts_of_step = config.accumulate_steps();
  options.global_batch_size = config.global_batch_size() / parts_of_step;
  options.batches_per_step = parts_of_step;
  options.rank = workers.rank();
  options.world_size = workers.size();
  options.seed = config.seed();
  options.image = image;
  options.threads = config.loader().threads();
  // A step begins when all its parts are there.
  options.prefetch = config.loader().prefetch() * parts_of_step;
  return options;
}

TrainerOptions TrainerOptionsOf(const Job& job) {
  const Config& config = job.config;
  TrainerOptions options;
  options.first_step = job.resumed.step;
  options.total_steps = config.steps();
  options.evaluate_every = config.evaluation().every_steps();
  options.checkpoint_every = config.checkpoint().every_steps();
  options.checkpoint_before_evaluation = config.checkpoint().keep_best() != CheckpointConfig::NONE;
  options.accumulate_steps = config.accumulate_steps();
  options.most_not_finite_in_a_row = GuardOptionsOf(config).most_not_finite_in_a_row;
  options.step.precision = PrecisionOf(config);
  options.step.seed = config.seed();
  options.step.may_record = config.record_steps() == Config::AUTO;
  return options;
}

class Worker {
 public:
  Worker(const Job& job, Device& device, Communicator& communicator, JobObserver* observer,
         const std::atomic<bool>* stop_requested)
      : job_(job),
        config_(job.config),
        device_(device),
        communicator_(communicator),
        observer_(observer),
        stop_requested_(stop_requested) {}

  // `clock` is what a trace needs; null without one.
  Status Run(JobClock* clock);

 private:
  // From where all ranks are set up, to the end.
  Status WorkOrServe();
  Status Work();
  Status Serve();
  Status AnnounceStart();
  StatusOr<EvaluationReport> Evaluate();
  // Calls `work` while every worker's arena holds what a checkpoint would have as the model. Collective.
  Status WithModelOfCheckpoint(const std::function<Status()>& work);
  Status Save(int64_t steps_done);
  CheckpointParts checkpoint_parts() const;
  ReadyDetector ready_detector() const {
    return {*parts_.detector, PrecisionOf(config_), device_, static_cast<int>(job_.train_data->class_names().size())};
  }

  const Job& job_;
  const Config& config_;
  Device& device_;
  Communicator& communicator_;  // of the whole job
  JobObserver* const observer_;
  const std::atomic<bool>* const stop_requested_;
  RankParts parts_;
};

Status Worker::Run(JobClock* clock) {
  return AbortOnFault(communicator_, [&]() -> Status {
    TRIREME_RETURN_IF_ERROR(BuildRank(job_, device_, communicator_, &parts_));
    if (clock != nullptr) {
      TRIREME_ASSIGN_OR_RETURN(*clock, AgreeOnClock(communicator_, device_, ThisClockId(), TraceClock));
    }
    return WorkOrServe();
  });
}

Status Worker::WorkOrServe() {
  // After Setup, which gives every rank rank 0's buffers: with norm per worker each has its own to go on with.
  if (!job_.resume_from.empty()) {
    TRIREME_RETURN_IF_ERROR(LoadTrainingState(job_.resume_from, communicator_.rank(), checkpoint_parts()));
  }
  return parts_.among_workers != nullptr ? Work() : Serve();
}

Status Worker::Serve() {
  ServeParts parts;
  parts.strategy = parts_.strategy.get();
  parts.communicator = &communicator_;
  parts.save_checkpoint = [this](int64_t steps_done) { return Save(steps_done); };
  parts.first_step = job_.resumed.step;
  parts.total_steps = config_.steps();
  return ServeWorkers(parts);
}

Status Worker::Work() {
  Communicator& workers = *parts_.among_workers;
  std::vector<const Transform*> transforms;
  for (const auto& transform : job_.transforms) transforms.push_back(transform.get());
  LoaderOptions loader_options = LoaderOptionsOf(config_, parts_.detector->image_spec(), workers);
  TRIREME_RETURN_IF_ERROR(Loader::Check(*job_.train_data, loader_options));
  std::unique_ptr<JpegDecoder> decoder;
  if (config_.loader().decode() == LoaderConfig::NVJPEG) {
    TRIREME_ASSIGN_OR_RETURN(decoder, Annotate(MakeNvjpegDecoder(device_), "loader.decode"));
    loader_options.decoder = decoder.get();
  }
  Loader loader(job_.train_data.get(), transforms, job_.faults.get(), &device_, loader_options);
  const bool begins = workers.rank() == 0 && job_.resumed.step == 0;
  FirstBatchPictures batches(&loader, job_.train_data->class_names(), begins ? config_.log().pictures() : 0,
                             job_.run_folder + "/train_pictures");

  Trainer::Parts parts;
  parts.device = &device_;
  parts.communicator = &workers;
  parts.detector = parts_.detector.get();
  parts.arena = parts_.arena.get();
  parts.optimizer = parts_.optimizer.get();
  parts.schedule = parts_.schedule.get();
  parts.strategy = parts_.strategy.get();
  parts.guard = parts_.guard.get();
  parts.average = parts_.average.get();
  parts.batches = &batches;
  parts.observer = workers.rank() == 0 ? observer_ : nullptr;
  parts.stop_requested = stop_requested_;
  parts.save_checkpoint = [this](int64_t steps_done) { return Save(steps_done); };
  if (job_.eval_data != nullptr) parts.evaluate = [this](int64_t) { return Evaluate(); };
  TRIREME_RETURN_IF_ERROR(AnnounceStart());
  const Status trained = Trainer(parts, TrainerOptionsOf(job_)).Run();
  // All ranks end a run that is done, or was stopped; after a fault nobody can be asked.
  if (!trained.ok() && !absl::IsCancelled(trained)) return trained;
  TRIREME_RETURN_IF_ERROR(GatherFaults(workers, device_, job_.faults.get()));
  TRIREME_RETURN_IF_ERROR(trained);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<MemoryStats> memory, GatherMemory(workers, device_));
  if (job_.eval_data != nullptr && config_.evaluation().pictures() > 0) {
    TRIREME_RETURN_IF_ERROR(WithModelOfCheckpoint([&] {
      return WritePictures(ready_detector(), *job_.eval_data, config_.evaluation().pictures(), kPictureThreshold,
                           workers, job_.run_folder + "/pictures");
    }));
  }
  if (workers.rank() == 0) observer_->OnEnd(memory);
  return absl::OkStatus();
}

Status Worker::AnnounceStart() {
  Communicator& workers = *parts_.among_workers;
  TRIREME_ASSIGN_OR_RETURN(const auto places, GatherWorkerPlaces(workers, device_));
  if (workers.rank() != 0) return absl::OkStatus();
  JobObserver::Setup setup;
  setup.device = device_.name();
  setup.why_this_device = WhyThisDevice(config_.device(), device_);
  setup.workers = places;
  setup.trained_values = parts_.arena->NumTrainedValues();
  setup.first_step = job_.resumed.step;
  setup.synchronous = parts_.strategy->synchronous();
  setup.server_ranks = communicator_.size() - config_.workers();
  observer_->OnStart(setup);
  return absl::OkStatus();
}

StatusOr<EvaluationReport> Worker::Evaluate() {
  Communicator& workers = *parts_.among_workers;
  EvaluationReport report;
  TRIREME_RETURN_IF_ERROR(WithModelOfCheckpoint([&]() -> Status {
    TRIREME_ASSIGN_OR_RETURN(const DetectionEvaluator found, DetectAll(ready_detector(), *job_.eval_data, config_,
                                                                       workers, job_.faults.get(), stop_requested_));
    report = MakeReport(found, job_.eval_data->class_names(), config_.evaluation());
    return absl::OkStatus();
  }));
  return report;
}

Status Worker::WithModelOfCheckpoint(const std::function<Status()>& work) {
  Communicator& workers = *parts_.among_workers;
  return parts_.average != nullptr ? WithAverageOfRankZero(*parts_.average, *parts_.arena, workers, work)
                                   : WithBuffersOfRankZero(*parts_.arena, workers, work);
}

CheckpointParts Worker::checkpoint_parts() const {
  return {parts_.arena.get(), parts_.optimizer.get(), parts_.strategy.get(),
          RunStateOf(*parts_.guard, PrecisionOf(config_)), parts_.average.get()};
}

Status Worker::Save(int64_t steps_done) {
  CheckpointInfo info;
  info.step = steps_done;
  info.seed = config_.seed();
  info.world_size = config_.workers();
  info.global_batch_size = config_.global_batch_size();
  info.class_names = job_.train_data->class_names();
  info.category_ids = job_.train_data->category_ids();
  info.config_text = PrintText(config_);
  return SaveCheckpoint(job_.run_folder, config_.checkpoint().keep(), info, checkpoint_parts(), communicator_);
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
  options.time_engines = job.config.convolution_engines() == Config::MEASURED;
  options.memory_at_start = job.config.memory_at_start_mb() << 20;
  TRIREME_ASSIGN_OR_RETURN(auto device, MakeDevice(options));
  device->BindToThisThread();
  const auto work = [&](Communicator& of_job, JobClock* clock) {
    return Worker(job, *device, of_job, observer, stop_requested).Run(clock);
  };
  return CatchDeviceError([&] {
    return job.trace.file.empty() ? work(communicator, /*clock=*/nullptr) : TraceRank(job, *device, communicator, work);
  });
}

}  // namespace trireme

#include "tools/job/job.h"

#include <filesystem>

#include "absl/strings/str_join.h"
#include "core/api/detector.h"
#include "core/api/optimizer.h"
#include "core/api/schedule.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "core/config/config_file.h"
#include "core/device/device.h"
#include "data/loader/cached_dataset.h"
#include "data/loader/checked_dataset.h"
#include "parallel/launch/process_rank.h"
#include "tools/job/job_facts.h"
#include "tools/job/own_run.h"
#include "tools/job/server_ranks.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// Threads, unless a cluster's launcher has started a process for each worker.
std::string DefaultCommunicator(const Config& config) {
  const auto place = FindProcessRank();
  if (!place.ok() || !place->has_value()) return "threads";
  return config.device() != "cpu" && NumGpus() > 0 ? "nccl" : "gloo";
}

void FillInDefaults(Config* config) {
  if (!config->has_strategy()) {
    config->mutable_strategy()->set_type_url(config->workers() == 1 ? "strategy/single" : "strategy/ring_all_reduce");
  }
  if (!config->has_communicator()) {
    config->mutable_communicator()->set_type_url(absl::StrCat("communicator/", DefaultCommunicator(*config)));
  }
  if (!config->has_schedule()) config->mutable_schedule()->set_type_url("schedule/cosine");
  if (!config->has_optimizer()) config->mutable_optimizer()->set_type_url("optimizer/sgd");
}

Status ChooseRunFolder(bool resume, bool leads, Job* job) {
  job->run_folder = RunFolderOf(job->name, job->config, resume);
  if (IsCheckpoint(job->run_folder)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--out=", job->run_folder, " is a checkpoint; name the folder of a run, which holds checkpoints"));
  }
  if (leads && !resume) TRIREME_RETURN_IF_ERROR(MakeFolder(job->run_folder));
  if (leads && PathExists(job->run_folder)) {
    TRIREME_ASSIGN_OR_RETURN(job->lock, LockRun(job->run_folder));
  }
  if (resume && leads) RemoveUnfinishedCheckpoints(job->run_folder);
  if (!resume) return leads ? RefuseEarlierRun(job->run_folder) : absl::OkStatus();
  const auto checkpoint = FindCheckpoint(job->run_folder);
  if (!checkpoint.ok()) return Annotate(checkpoint.status(), "--resume");
  job->resume_from = *checkpoint;
  TRIREME_ASSIGN_OR_RETURN(job->resumed, ReadCheckpointInfo(*checkpoint));
  TRIREME_ASSIGN_OR_RETURN(job->resumed_bytes, DescribeBytes(*checkpoint, job->resumed));
  if (job->resumed.class_names != job->train_data->class_names()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--resume: ", *checkpoint, " was trained on the classes ", absl::StrJoin(job->resumed.class_names, ", "),
        "; train_data now has ", absl::StrJoin(job->train_data->class_names(), ", ")));
  }
  if (job->resumed.seed != job->config.seed() || job->resumed.global_batch_size != job->config.global_batch_size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("--resume: ", *checkpoint, " was trained with seed ", job->resumed.seed, " and a global batch of ",
                     job->resumed.global_batch_size, ", the config now says ", job->config.seed(), " and ",
                     job->config.global_batch_size(),
                     ": the same images would not follow; set them back, or start a new run with "
                     "initial_weights"));
  }
  return absl::OkStatus();
}

// Builds what workers will build, so that a wrong config ends here.
Status CheckComponents(const Job& job) {
  const Config& config = job.config;
  TRIREME_RETURN_IF_ERROR(CreateComponent<Detector>(config.model(), "model", {job.train_data->class_names()}).status());
  TRIREME_RETURN_IF_ERROR(CreateComponent<Optimizer>(config.optimizer(), "optimizer", {}).status());
  TRIREME_RETURN_IF_ERROR(CreateComponent<Schedule>(config.schedule(), "schedule", {config.steps()}).status());
  TRIREME_RETURN_IF_ERROR(CreateComponent<Launcher>(config.communicator(), "communicator", {}).status());
  TRIREME_ASSIGN_OR_RETURN(const ComponentRegistry::Entry* strategy,
                           ComponentRegistry::Global().Find(config.strategy().type_url()));
  if (strategy->key.rfind("strategy/", 0) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("strategy: ", strategy->key, " is not a strategy"));
  }
  TRIREME_RETURN_IF_ERROR(NumServerRanks(config).status());
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Dataset>> OpenDataset(const google::protobuf::Any& any, absl::string_view field,
                                               int64_t cache_mb, FaultLog* faults) {
  Dataset::BuildArgs args;
  args.faults = faults;
  TRIREME_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> data, CreateComponent<Dataset>(any, field, args));
  auto checked = CheckedDataset::Make(std::move(data), faults);
  if (!checked.ok()) return Annotate(checked.status(), absl::StrCat(field, " [", any.type_url(), "]"));
  data = *std::move(checked);
  if (cache_mb > 0) data = std::make_unique<CachedDataset>(std::move(data), cache_mb << 20);
  return data;
}

StatusOr<std::unique_ptr<Launcher>> MakeLauncher(const Config& config) {
  Config filled = config;
  FillInDefaults(&filled);
  return CreateComponent<Launcher>(filled.communicator(), "communicator", {});
}

StatusOr<std::unique_ptr<Job>> PrepareJob(const std::string& name, const Config& config, bool resume, bool leads) {
  auto job = std::make_unique<Job>();
  job->name = name;
  job->config = config;
  job->faults = std::make_unique<FaultLog>();
  FillInDefaults(&job->config);

  TRIREME_ASSIGN_OR_RETURN(
      job->train_data, OpenDataset(config.train_data(), "train_data", config.loader().cache_mb(), job->faults.get()));
  if (job->train_data->size() < config.workers()) {
    return absl::InvalidArgumentError(absl::StrCat("there are ", config.workers(), " workers but only ",
                                                   job->train_data->size(), " images in train_data; lower --workers"));
  }
  if (config.has_eval_data()) {
    TRIREME_ASSIGN_OR_RETURN(
        job->eval_data, OpenDataset(config.eval_data(), "eval_data", config.loader().cache_mb(), job->faults.get()));
    if (job->eval_data->class_names() != job->train_data->class_names()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "train_data has the classes ", absl::StrJoin(job->train_data->class_names(), ", "), ", eval_data has ",
          absl::StrJoin(job->eval_data->class_names(), ", "), "; name them in both, in one order"));
    }
  }
  int index = 0;
  const Transform::BuildArgs of_transforms = {job->train_data.get(), job->faults.get()};
  for (const auto& any : config.transforms()) {
    TRIREME_ASSIGN_OR_RETURN(auto transform,
                             CreateComponent<Transform>(any, absl::StrCat("transforms[", index++, "]"), of_transforms));
    job->transforms.push_back(std::move(transform));
  }
  TRIREME_RETURN_IF_ERROR(CheckComponents(*job));
  TRIREME_RETURN_IF_ERROR(ChooseRunFolder(resume, leads, job.get()));
  if (!leads) return job;
  TRIREME_RETURN_IF_ERROR(
      WriteFileAtomically((fs::path(job->run_folder) / "config.pbtxt").string(), PrintText(job->config)));
  return job;
}

}  // namespace trireme

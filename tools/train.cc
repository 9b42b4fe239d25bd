// Trains the detector that a config describes. See kHelp.
#include <gflags/gflags.h>

#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/api/launcher.h"
#include "core/base/files.h"
#include "core/base/registry.h"
#include "parallel/launch/child_process.h"
#include "parallel/launch/process_rank.h"
#include "parallel/launch/restarts.h"
#include "tools/cli/command_line.h"
#include "tools/job/check_numbers.h"
#include "tools/job/job.h"
#include "tools/job/own_run.h"
#include "tools/job/server_ranks.h"
#include "tools/job/worker.h"
#include "tools/report/run_recorder.h"

DEFINE_string(config, "", "");
DEFINE_string(out, "", "");
DEFINE_string(plugin, "", "");
DEFINE_string(device, "", "");
DEFINE_string(devices, "", "");
DEFINE_int32(workers, 0, "");
DEFINE_int64(steps, 0, "");
DEFINE_int64(seed, -1, "");
DEFINE_bool(resume, false, "");
DEFINE_int32(restarts, 0, "");
DEFINE_string(trace, "", "");
DEFINE_string(trace_steps, "", "");

namespace trireme {
namespace {

constexpr char kHelp[] =
    R"(Trains an object detector.

  train --config=ssd.pbtxt

What to train
  --config=FILE        the run, in protobuf text; looked for where you stand, then among the shipped configs
  --set PATH=VALUE     overrides a field: --set train_data.root=VOC2012 --set optimizer.momentum=0.95; any number
  --plugin=A.so,B.so   shared objects with further components

How to run
  --workers=N          workers that share the batch; under torchrun, mpirun and srun, all that these start
  --device=NAME        cpu, cuda, cuda:N or auto
  --devices=0,2        the GPUs to take, of those that CUDA_VISIBLE_DEVICES lets through
  --restarts=N         starts a job that failed again from its last checkpoint, up to N times
  --steps=N            how long
  --seed=N             of everything random

Where it goes
  --out=DIR            folder of the run; runs/<config> if left out
  --resume             goes on from the newest checkpoint of the run
  --trace=FILE         where the time of some steps goes, for ui.perfetto.dev (Chrome's trace format); after a fault each
                       rank writes what it has, rank 1 to FILE with .rank1 before its extension
  --trace_steps=A:B    of the steps from A, counted from 0, to before B; 20 steps after the first 5 if left out

Ends with 0 when done, 1 when the world failed, 2 when the input was wrong. SIGTERM and Ctrl-C save a checkpoint.
)";

std::string NameOf(const std::string& path) { return std::filesystem::path(path).stem().string(); }

Status ApplyFlags(const std::optional<ProcessRank>& place, Config* config) {
  if (!FLAGS_out.empty()) config->set_out(FLAGS_out);
  if (!FLAGS_device.empty()) config->set_device(FLAGS_device);
  if (IsGiven("devices")) config->clear_devices();
  if (IsGiven("devices") && FLAGS_devices.find_first_not_of(',') == std::string::npos) {
    return absl::InvalidArgumentError("--devices is empty; name GPUs (--devices=0,2), or leave it out");
  }
  for (const std::string& text : std::vector<std::string>(absl::StrSplit(FLAGS_devices, ',', absl::SkipEmpty()))) {
    int device = 0;
    if (!absl::SimpleAtoi(text, &device)) {
      return absl::InvalidArgumentError(absl::StrCat("--devices=", FLAGS_devices, ": \"", text, "\" is no number"));
    }
    config->add_devices(device);
  }
  if (IsGiven("workers")) {
    config->set_workers(FLAGS_workers);
  } else if (place.has_value()) {
    TRIREME_ASSIGN_OR_RETURN(const int workers, NumWorkersAmong(place->world_size, *config));
    config->set_workers(workers);
  }
  if (IsGiven("steps")) config->set_steps(FLAGS_steps);
  if (IsGiven("seed") && FLAGS_seed < 0) {
    return absl::InvalidArgumentError(absl::StrCat("--seed is ", FLAGS_seed, "; it has to be at least 0"));
  }
  if (IsGiven("seed")) config->set_seed(static_cast<uint64_t>(FLAGS_seed));
  return absl::OkStatus();
}

bool GoesOn(const std::string& name, const Config& config, const Launch& launch) {
  return FLAGS_resume || IsRunOf(launch, RunFolderOf(name, config, /*resume=*/true));
}

Status TrainInThisProcess(const std::string& path, Config config, const Launch& launch, Launcher& launcher) {
  const std::string name = NameOf(path);
  std::unique_ptr<Job> job;
  if (launcher.leads()) {
    const bool resume = GoesOn(name, config, launch);
    TRIREME_ASSIGN_OR_RETURN(job, Annotate(PrepareJob(name, config, resume), path));
    if (!resume) TRIREME_RETURN_IF_ERROR(NoteLaunch(job->run_folder, launch));
    TRIREME_RETURN_IF_ERROR(launcher.FromRankZero(job->run_folder).status());
    TRIREME_RETURN_IF_ERROR(launcher.FromRankZero(resume ? "resume" : "").status());
  } else {
    TRIREME_ASSIGN_OR_RETURN(*config.mutable_out(), launcher.FromRankZero(""));
    TRIREME_ASSIGN_OR_RETURN(const std::string resumes, launcher.FromRankZero(""));
    TRIREME_ASSIGN_OR_RETURN(job, Annotate(PrepareJob(name, config, !resumes.empty(), /*leads=*/false), path));
  }
  TRIREME_ASSIGN_OR_RETURN(job->trace,
                           MakeTraceOptions(FLAGS_trace, FLAGS_trace_steps, job->resumed.step, job->config.steps()));
  std::unique_ptr<RunRecorder> recorder;
  if (launcher.leads()) {
    const std::string folder = std::filesystem::path(FLAGS_trace).parent_path();
    if (!folder.empty()) TRIREME_RETURN_IF_ERROR(MakeFolder(folder));
    TRIREME_RETURN_IF_ERROR(CheckOutputFile("trace", FLAGS_trace));
    TRIREME_ASSIGN_OR_RETURN(recorder, RunRecorder::Open(*job));
  }
  const std::atomic<bool>* stop = StopRequested();
  const auto known_faults = job->faults->counts();
  TRIREME_ASSIGN_OR_RETURN(const int servers, NumServerRanks(job->config));
  const Status trained = launcher.Run(config.workers() + servers, [&](Communicator& communicator) {
    return RunWorker(*job, communicator, recorder.get(), stop);
  });
  // Nobody has asked for these.
  if (!trained.ok() && !launcher.leads() && job->faults->counts() != known_faults) {
    fprintf(stderr, "%s\n", job->faults->Summary().c_str());
  }
  const Status recorded = recorder == nullptr ? absl::OkStatus() : recorder->Finish(trained);
  return trained.ok() ? recorded : trained;
}

// The same command for every attempt, in one folder, and from its last checkpoint on.
Status TrainWithRestarts(const Config& config, const std::string& name, const Launch& launch) {
  const bool resume = GoesOn(name, config, launch);
  const std::string folder = RunFolderOf(name, config, resume);
  // Here and not in the first attempt alone, which may end before it has looked.
  if (!resume) TRIREME_RETURN_IF_ERROR(RefuseEarlierRun(folder));
  RestartOptions options;
  options.restarts = FLAGS_restarts;
  options.command = [&](int attempt) -> StatusOr<std::vector<std::string>> {
    std::vector<std::string> command = OwnCommand();
    command.push_back("--restarts=0");
    command.push_back("--out=" + folder);
    if (attempt > 0 && FindCheckpoint(folder).ok()) command.push_back("--resume");
    return command;
  };
  const Status status = RunWithRestarts(options);
  // A job that could not begin leaves no folder of its own.
  std::error_code error;
  if (!status.ok() && !config.has_out() && std::filesystem::is_empty(folder, error)) {
    std::filesystem::remove(folder, error);
  }
  return status;
}

Status Train() {
  TRIREME_RETURN_IF_ERROR(LoadPluginsOfFlag(FLAGS_plugin));
  Config config;
  std::string path;
  TRIREME_RETURN_IF_ERROR(LoadConfig(FLAGS_config, &config, &path));
  TRIREME_ASSIGN_OR_RETURN(const auto place, FindProcessRank());
  TRIREME_ASSIGN_OR_RETURN(const Launch launch, FindLaunch());
  TRIREME_RETURN_IF_ERROR(ApplyFlags(place, &config));
  if (FLAGS_restarts < 0 || (FLAGS_restarts > 0 && place.has_value())) {
    return absl::InvalidArgumentError(
        "--restarts is how often this process starts the job again; under a cluster's launcher it is the launcher that "
        "does (torchrun --max_restarts=N, sbatch --requeue), and the job goes on from the last checkpoint of --out");
  }
  // Before there is a process for each worker.
  TRIREME_RETURN_IF_ERROR(Annotate(CheckNumbers(config), path));
  if (FLAGS_restarts > 0) return TrainWithRestarts(config, NameOf(path), launch);
  TRIREME_ASSIGN_OR_RETURN(const std::unique_ptr<Launcher> launcher, Annotate(MakeLauncher(config), path));
  TRIREME_ASSIGN_OR_RETURN(const int servers, Annotate(NumServerRanks(config), path));
  if (const auto outcome = launcher->Start(config.workers() + servers)) return *outcome;
  return launcher->Finish(TrainInThisProcess(path, config, launch, *launcher));
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) { return trireme::RunTool(argc, argv, trireme::kHelp, trireme::Train); }

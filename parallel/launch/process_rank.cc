#include "parallel/launch/process_rank.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "parallel/launch/job_folder.h"
#include "parallel/launch/process_id.h"

namespace trireme {
namespace {

constexpr int kNumPorts = 8;
// Below those that Linux hands out by itself.
constexpr int kFirstSlurmPort = 20000, kNumSlurmPorts = 12000;

std::string Value(const Environment& environment, const std::string& name) {
  const char* value = environment(name.c_str());
  return value == nullptr ? "" : value;
}

Status ReadNumber(const Environment& environment, const std::string& name, int* number) {
  const std::string text = Value(environment, name);
  if (absl::SimpleAtoi(text, number) && *number >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the environment has ", name, "=\"", text, "\"; it has to be a number from 0"));
}

StatusOr<int> AttemptOf(const Environment& environment, const std::string& name) {
  int attempt = 0;
  if (environment(name.c_str()) != nullptr) TRIREME_RETURN_IF_ERROR(ReadNumber(environment, name, &attempt));
  return attempt;
}

// What a launcher calls the numbers that all of them set.
struct Names {
  std::string rank, world_size, local_rank;
  std::string local_world_size;  // all of them may leave it out
};

StatusOr<ProcessRank> ReadNumbers(const Environment& environment, const Names& names) {
  std::vector<std::string> found, missing;
  for (const std::string& name : {names.rank, names.world_size, names.local_rank}) {
    (environment(name.c_str()) == nullptr ? missing : found).push_back(name);
  }
  if (!missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the environment has ", absl::StrJoin(found, " and "), " but not ",
                                                   absl::StrJoin(missing, ", "), "; a launcher sets all of them"));
  }
  ProcessRank place;
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, names.rank, &place.rank));
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, names.world_size, &place.world_size));
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, names.local_rank, &place.local_rank));
  place.local_world_size = place.world_size;
  if (!names.local_world_size.empty() && environment(names.local_world_size.c_str()) != nullptr) {
    TRIREME_RETURN_IF_ERROR(ReadNumber(environment, names.local_world_size, &place.local_world_size));
  }
  if (place.rank < place.world_size && place.local_rank <= place.rank && place.local_rank < place.local_world_size &&
      place.local_world_size <= place.world_size) {
    return place;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the environment has ", names.rank, "=", place.rank, ", ", names.world_size, "=", place.world_size,
                   ", ", names.local_rank, "=", place.local_rank,
                   place.local_world_size == place.world_size
                       ? ""
                       : absl::StrCat(", ", names.local_world_size, "=", place.local_world_size),
                   ", which cannot all be true"));
}

// Letters, digits, '.', '_' and '-', which a file may be called.
std::string Plain(std::string text) {
  for (char& c : text) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  }
  return text;
}

bool HasOneHost(const ProcessRank& place) { return place.local_world_size == place.world_size; }

// `place->job` is unique on this host, or with `agent` is, the process that has started those of the job.
void MeetInTemporaryFolder(pid_t agent, ProcessRank* place) {
  place->rendezvous = TemporaryFolder();
  place->job = absl::StrCat("trireme.", place->job);
  if (agent != 0) absl::StrAppend(&place->job, "-", agent, "-", ProcessStartTime(agent));
}

void MeetOverTcp(const std::string& host, int first_port, ProcessRank* place) {
  place->num_ports = kNumPorts;
  place->rendezvous = absl::StrCat("tcp://", host, ":", first_port);
}

StatusOr<ProcessRank> FromOurs(const Environment& environment) {
  TRIREME_ASSIGN_OR_RETURN(ProcessRank place,
                           ReadNumbers(environment, {"TRIREME_RANK", "TRIREME_WORLD_SIZE", "TRIREME_LOCAL_RANK",
                                                     "TRIREME_LOCAL_WORLD_SIZE"}));
  if (Value(environment, "TRIREME_RENDEZVOUS").empty()) {
    return absl::InvalidArgumentError(
        "the environment has TRIREME_RANK but no TRIREME_RENDEZVOUS; set it to tcp://HOST:PORT, where rank 0 is to "
        "listen, or to a new folder for this job that all of its processes see");
  }
  place.job = "job";
  place.launch.name = Value(environment, "TRIREME_LAUNCH");
  TRIREME_ASSIGN_OR_RETURN(place.launch.attempt, AttemptOf(environment, "TRIREME_ATTEMPT"));
  place.supervised = environment("TRIREME_SUPERVISED") != nullptr;
  return place;
}

StatusOr<ProcessRank> FromTorchrun(const Environment& environment) {
  TRIREME_ASSIGN_OR_RETURN(ProcessRank place,
                           ReadNumbers(environment, {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}));
  const std::string host = Value(environment, "MASTER_ADDR"), port = Value(environment, "MASTER_PORT");
  TRIREME_ASSIGN_OR_RETURN(place.launch.attempt, AttemptOf(environment, "TORCHELASTIC_RESTART_COUNT"));
  std::string run = Value(environment, "TORCHELASTIC_RUN_ID");
  if (run.empty()) run = "none";
  place.launch.name = absl::StrCat("torchrun ", run == "none" ? DescribeProcess(getppid()) : run);
  place.job = Plain(absl::StrCat("torchrun-", run, "-", port, "-", place.launch.attempt));
  if (!Value(environment, "TRIREME_RENDEZVOUS").empty()) return place;
  if (HasOneHost(place)) {
    MeetInTemporaryFolder(getppid(), &place);
    return place;
  }
  int number = 0;
  if (host.empty() || !absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("torchrun runs this job on several hosts, but the environment has MASTER_ADDR=\"", host,
                     "\" and MASTER_PORT=\"", port, "\"; a launcher sets both"));
  }
  MeetOverTcp(host, number + kNumPorts > 65535 ? number - kNumPorts : number + 1, &place);
  return place;
}

StatusOr<ProcessRank> FromOpenMpi(const Environment& environment) {
  TRIREME_ASSIGN_OR_RETURN(ProcessRank place,
                           ReadNumbers(environment, {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                                                     "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"}));
  const std::string name = Value(environment, "PMIX_NAMESPACE");
  place.job = Plain(absl::StrCat("mpirun-", name.empty() ? Value(environment, "OMPI_MCA_ess_base_jobid") : name));
  if (!Value(environment, "TRIREME_RENDEZVOUS").empty()) return place;
  if (!HasOneHost(place)) {
    return absl::FailedPreconditionError(
        "mpirun runs this job on several hosts and does not tell which of them has rank 0: name that host, the first "
        "of the host list, and a free port by mpirun -x TRIREME_RENDEZVOUS=tcp://HOST:PORT");
  }
  MeetInTemporaryFolder(/*agent=*/0, &place);
  return place;
}

StatusOr<ProcessRank> FromSlurm(const Environment& environment) {
  TRIREME_ASSIGN_OR_RETURN(ProcessRank place,
                           ReadNumbers(environment, {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", ""}));
  int job = 0, step = 0, num_hosts = 1;
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, "SLURM_JOB_ID", &job));
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, "SLURM_STEP_ID", &step));
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, "SLURM_STEP_NUM_NODES", &num_hosts));
  TRIREME_ASSIGN_OR_RETURN(place.launch.attempt, AttemptOf(environment, "SLURM_RESTART_COUNT"));
  const std::string cluster = Value(environment, "SLURM_CLUSTER_NAME");
  place.launch.name = absl::StrCat("slurm ", cluster, " ", job);
  place.job = Plain(absl::StrCat("slurm-", cluster, "-", job, ".", step, "-", place.launch.attempt));
  // SLURM_GTIDS are the ranks on this node.
  if (num_hosts > 1) {
    const std::string here = Value(environment, "SLURM_GTIDS");
    const std::vector<std::string> ranks = absl::StrSplit(here, ',', absl::SkipEmpty());
    place.local_world_size = std::max(place.local_rank + 1, static_cast<int>(ranks.size()));
  }
  if (!Value(environment, "TRIREME_RENDEZVOUS").empty()) return place;
  if (num_hosts == 1) {
    MeetInTemporaryFolder(/*agent=*/0, &place);
    return place;
  }
  TRIREME_ASSIGN_OR_RETURN(const std::string host, FirstOfHostlist(Value(environment, "SLURM_STEP_NODELIST")));
  const int64_t slot = (static_cast<int64_t>(job) * 16 + step) % (kNumSlurmPorts / kNumPorts);
  MeetOverTcp(host, kFirstSlurmPort + static_cast<int>(slot) * kNumPorts, &place);
  return place;
}

StatusOr<std::optional<ProcessRank>> FindLauncher(const Environment& environment) {
  const auto has = [&](const char* name) { return environment(name) != nullptr; };
  StatusOr<ProcessRank> place = ProcessRank();
  if (has("TRIREME_RANK") || has("TRIREME_WORLD_SIZE")) {
    place = FromOurs(environment);
  } else if (has("RANK") && has("WORLD_SIZE")) {  // either alone means other things to other programs
    place = FromTorchrun(environment);
  } else if (has("OMPI_COMM_WORLD_RANK")) {
    place = FromOpenMpi(environment);
  } else if (has("SLURM_PROCID") && has("SLURM_STEP_ID") && has("SLURM_STEP_NUM_TASKS")) {
    place = FromSlurm(environment);
  } else {
    return std::optional<ProcessRank>();
  }
  TRIREME_RETURN_IF_ERROR(place.status());
  return std::make_optional(*std::move(place));
}

}  // namespace

StatusOr<std::string> FirstOfHostlist(const std::string& hostlist) {
  std::string host;
  bool closed = true;
  for (size_t at = 0; at < hostlist.size() && hostlist[at] != ','; ++at) {
    if (hostlist[at] != '[') {
      host += hostlist[at];
      continue;
    }
    // Of "[08-11,20]" the first number as it is written.
    const size_t end = hostlist.find(']', at);
    closed = end != std::string::npos;
    if (!closed) break;
    const size_t first_end = hostlist.find_first_of(",-]", at + 1);
    host += hostlist.substr(at + 1, first_end - at - 1);
    at = end;
  }
  if (closed && !host.empty()) return host;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", hostlist, "\" is no list of hosts; set TRIREME_RENDEZVOUS to tcp://HOST:PORT of rank 0"));
}

StatusOr<std::optional<ProcessRank>> FindProcessRank(const Environment& environment) {
  TRIREME_ASSIGN_OR_RETURN(std::optional<ProcessRank> place, FindLauncher(environment));
  if (!place.has_value()) return place;
  const std::string rendezvous = Value(environment, "TRIREME_RENDEZVOUS"), job = Value(environment, "TRIREME_JOB");
  if (!rendezvous.empty()) place->rendezvous = rendezvous;
  if (!job.empty()) place->job = Plain(job);
  place->listen_on = Value(environment, "TRIREME_LISTEN_ON");
  if (place->listen_on.empty() && !place->over_tcp() && HasOneHost(*place)) place->listen_on = "127.0.0.1";
  if (place->world_size == 1 && !place->supervised) return std::optional<ProcessRank>();
  return place;
}

StatusOr<std::optional<ProcessRank>> FindProcessRank() {
  return FindProcessRank([](const char* name) { return std::getenv(name); });
}

StatusOr<Launch> FindLaunch(const Environment& environment) {
  TRIREME_ASSIGN_OR_RETURN(const std::optional<ProcessRank> place, FindLauncher(environment));
  return place.has_value() ? place->launch : Launch();
}

StatusOr<Launch> FindLaunch() {
  return FindLaunch([](const char* name) { return std::getenv(name); });
}

}  // namespace trireme

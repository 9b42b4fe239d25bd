#include "parallel/launch/process_rank.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace trireme {
namespace {

std::string Value(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

Status ReadNumber(const Environment& environment, const char* name, int* number) {
  const std::string text = Value(environment, name);
  if (absl::SimpleAtoi(text, number) && *number >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the environment has ", name, "=\"", text, "\"; it has to be a number from 0"));
}

Status ReadNumbers(const Environment& environment, const std::string& prefix, ProcessRank* place) {
  std::vector<std::string> missing;
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK"}) {
    if (environment((prefix + name).c_str()) == nullptr) missing.push_back(prefix + name);
  }
  if (!missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the environment has ", prefix, "RANK or ", prefix,
                                                   "WORLD_SIZE but not ", absl::StrJoin(missing, ", "),
                                                   "; a launcher sets all of them"));
  }
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, (prefix + "RANK").c_str(), &place->rank));
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, (prefix + "WORLD_SIZE").c_str(), &place->world_size));
  TRIREME_RETURN_IF_ERROR(ReadNumber(environment, (prefix + "LOCAL_RANK").c_str(), &place->local_rank));
  if (place->rank < place->world_size && place->local_rank <= place->rank) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the environment has ", prefix, "RANK=", place->rank, ", ", prefix,
                                                 "WORLD_SIZE=", place->world_size, " and ", prefix,
                                                 "LOCAL_RANK=", place->local_rank, ", which cannot all be true"));
}

// Changes when a process ends and another gets its number.
std::string StartTime(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/stat"));
  std::stringstream text;
  text << file.rdbuf();
  // The second field is the program's name in parentheses, which may hold anything; the start time is the 22nd.
  const std::string line = text.str();
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return "0";
  const std::vector<std::string> fields = absl::StrSplit(line.substr(name_end + 1), ' ', absl::SkipEmpty());
  return fields.size() > 19 ? fields[19] : "0";
}

bool IsThisHost(const std::string& address) {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  return address == "localhost" || address == "127.0.0.1" || address == "::1" || address == name;
}

StatusOr<ProcessRank> FromTorchrun(const Environment& environment) {
  ProcessRank place;
  TRIREME_RETURN_IF_ERROR(ReadNumbers(environment, "", &place));
  const std::string address = Value(environment, "MASTER_ADDR"), port = Value(environment, "MASTER_PORT");
  const std::string attempt = Value(environment, "TORCHELASTIC_RESTART_COUNT");
  place.job = absl::StrCat("torchrun-", port, "-", attempt.empty() ? "0" : attempt);
  place.rendezvous = Value(environment, "TRIREME_RENDEZVOUS");
  if (!place.rendezvous.empty()) return place;
  int local_world_size = 0;
  const bool one_host = absl::SimpleAtoi(Value(environment, "LOCAL_WORLD_SIZE"), &local_world_size)
                            ? local_world_size == place.world_size
                            : IsThisHost(address) && place.local_rank == place.rank;
  if (!one_host) {
    return absl::FailedPreconditionError(
        absl::StrCat("torchrun runs this job on several hosts (MASTER_ADDR=", address,
                     "), and its processes have no folder to meet "
                     "in: set TRIREME_RENDEZVOUS to a new folder for this job on a file system that all hosts share"));
  }
  // The processes have their agent as parent. Another job has another, and another attempt another number.
  const char* root = std::getenv("TMPDIR");
  const pid_t agent = getppid();
  place.rendezvous = root != nullptr && *root != '\0' ? root : "/tmp";
  place.job = absl::StrCat("trireme.", place.job, "-", agent, "-", StartTime(agent));
  return place;
}

}  // namespace

StatusOr<std::optional<ProcessRank>> FindProcessRank(const Environment& environment) {
  const auto has = [&](const char* name) { return environment(name) != nullptr; };
  if (has("TRIREME_RANK") || has("TRIREME_WORLD_SIZE")) {
    ProcessRank place;
    TRIREME_RETURN_IF_ERROR(ReadNumbers(environment, "TRIREME_", &place));
    place.rendezvous = Value(environment, "TRIREME_RENDEZVOUS");
    if (place.rendezvous.empty()) {
      return absl::InvalidArgumentError(
          "the environment has TRIREME_RANK but no TRIREME_RENDEZVOUS; set it to a new folder for this job that all of "
          "its processes see");
    }
    place.job = Value(environment, "TRIREME_JOB");
    place.supervised = !place.job.empty();
    if (!place.supervised) place.job = "job";
    return std::make_optional(place);
  }
  // Either alone means other things to other programs.
  if (!has("RANK") || !has("WORLD_SIZE")) return std::optional<ProcessRank>();
  TRIREME_ASSIGN_OR_RETURN(ProcessRank place, FromTorchrun(environment));
  return std::make_optional(place);
}

StatusOr<std::optional<ProcessRank>> FindProcessRank() {
  return FindProcessRank([](const char* name) { return std::getenv(name); });
}

}  // namespace trireme

#include "parallel/launch/rendezvous.h"

#include <glog/logging.h>

#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "parallel/launch/file_store.h"
#include "parallel/launch/job_folder.h"
#include "parallel/launch/job_secret.h"
#include "parallel/launch/tcp_store.h"
#include "parallel/launch/tcp_store_server.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPause = std::chrono::milliseconds(5);
// For those who have come to hear that the others have not.
constexpr auto kFarewell = std::chrono::milliseconds(500);

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <class Ranks>
Status DidNotCome(const Ranks& missing, double seconds, const std::string& where, const std::string& can) {
  return absl::DeadlineExceededError(absl::StrCat("rank 0 waited ", seconds, " s ", where, " for rank",
                                                  missing.size() > 1 ? "s " : " ", absl::StrJoin(missing, ", "),
                                                  "; find out whether they run and ", can));
}

// Until all other ranks have said hello in this folder.
Status Answer(FileStore* store, const ProcessRank& place, double timeout_seconds) {
  const auto start = Clock::now();
  std::set<int> missing;
  for (int rank = 1; rank < place.world_size; ++rank) missing.insert(rank);
  while (!missing.empty()) {
    TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> hellos, store->Keys("hello."));
    for (const std::string& hello : hellos) {
      const std::vector<std::string> parts = absl::StrSplit(hello, '.');
      int rank = 0;
      if (parts.size() != 3 || !absl::SimpleAtoi(parts[1], &rank) || missing.erase(rank) == 0) continue;
      TRIREME_RETURN_IF_ERROR(store->Set(absl::StrCat("welcome.", parts[1], ".", parts[2]), ""));
    }
    if (missing.empty()) break;
    if (SecondsSince(start) > timeout_seconds) {
      const Status late = DidNotCome(missing, timeout_seconds, "in " + store->folder(), "see this folder");
      store->ReportFault(0, late);
      return late;
    }
    std::this_thread::sleep_for(kPause);
  }
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<Store>> Lead(const ProcessRank& place, const std::string& folder, double timeout_seconds) {
  // A launcher's next attempt, or its next job, meets in a folder of another name.
  if (place.rendezvous == TemporaryFolder()) RemoveLeftOvers();
  auto store = FileStore::Create(folder);
  // Ranks of a job whose rank 0 was killed end a moment after it, and read there why.
  for (const auto start = Clock::now();
       absl::IsAlreadyExists(store.status()) && IsAbandoned(folder) && SecondsSince(start) <= timeout_seconds;) {
    if (!RemoveIfLeftOver(folder)) std::this_thread::sleep_for(kPause);
    store = FileStore::Create(folder);
  }
  if (absl::IsNotFound(store.status())) {
    return absl::NotFoundError(absl::StrCat(place.rendezvous, ", named by TRIREME_RENDEZVOUS, does not exist"));
  }
  if (absl::IsAlreadyExists(store.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat(folder,
                     " exists already: it is of an earlier job, or of one that runs; delete it if that job "
                     "has ended, or set TRIREME_RENDEZVOUS to another folder"));
  }
  TRIREME_RETURN_IF_ERROR(store.status());
  TRIREME_RETURN_IF_ERROR(ClaimFolder(folder));
  TRIREME_RETURN_IF_ERROR(Answer(store->get(), place, timeout_seconds));
  return std::unique_ptr<Store>(*std::move(store));
}

StatusOr<std::unique_ptr<Store>> Follow(const ProcessRank& place, const std::string& folder, double timeout_seconds) {
  const auto start = Clock::now();
  const Status late = absl::DeadlineExceededError(
      absl::StrCat("rank ", place.rank, " waited ", timeout_seconds, " s for rank 0 in ", folder,
                   "; find out whether it runs and sees this folder, and whether the folder is of an earlier job"));
  const std::string word = absl::StrCat(place.rank, ".", RandomName());
  while (SecondsSince(start) <= timeout_seconds) {
    auto store = FileStore::Open(folder);
    if (store.ok()) {
      // Rank 0 may put its own folder in the place of a dead job's at any moment.
      const auto hello = (*store)->Find("hello." + word);
      if (hello.ok() && !hello->has_value()) (*store)->Set("hello." + word, "").IgnoreError();
      const auto answer = (*store)->Find("welcome." + word);
      if (answer.ok() && answer->has_value()) return std::unique_ptr<Store>(*std::move(store));
    } else if (!absl::IsNotFound(store.status())) {
      return store.status();
    }
    std::this_thread::sleep_for(kPause);
  }
  return late;
}

// Where rank 0 listens has to be reached by the others.
Status CheckReach(const ProcessRank& place, const TcpStoreServer& server) {
  if (place.local_world_size == place.world_size || !IsLoopback(server.host())) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("rank 0 would listen at ", server.address(), ", which is what ",
                                                    place.rendezvous,
                                                    " means on its host, and where no other host reaches it; set "
                                                    "TRIREME_LISTEN_ON to an address of rank 0's host that "
                                                    "the others reach"));
}

StatusOr<std::unique_ptr<Store>> LeadOverTcp(ProcessRank* place, double timeout_seconds) {
  TcpStoreServerOptions options;
  TRIREME_ASSIGN_OR_RETURN(options.where, ParseTcpAddress(place->rendezvous));
  TRIREME_ASSIGN_OR_RETURN(options.secret, NeedJobSecret());
  const std::string known_as = options.where.host;
  if (!place->listen_on.empty()) options.where.host = place->listen_on;
  options.num_ports = place->num_ports;
  options.job = place->job;
  options.world_size = place->world_size;
  // All may come at once, and each again.
  options.most_unproven = std::max(options.most_unproven, 2 * static_cast<size_t>(place->world_size));
  auto server = TcpStoreServer::Start(options);
  if (!server.ok()) {
    return Status(
        server.status().code(),
        absl::StrCat(server.status().message(),
                     "; the job's store has to be where rank 0 runs: set "
                     "TRIREME_RENDEZVOUS to tcp://HOST:PORT of its host and a free port, and TRIREME_LISTEN_ON "
                     "to an address of that host if it has another name for itself"));
  }
  TRIREME_RETURN_IF_ERROR(CheckReach(*place, **server));
  LOG(INFO) << "the store of job " << place->job << " listens at " << (*server)->address();
  const std::string host = (*server)->host();
  place->listen_on = host == "0.0.0.0" || host == "::" ? known_as : host;
  const auto start = Clock::now();
  for (auto missing = (*server)->Missing(); !missing.empty(); missing = (*server)->Missing()) {
    if (const auto fault = (*server)->fault()) return DescribeFault(*fault);
    if (SecondsSince(start) > timeout_seconds) {
      const Status late = DidNotCome(missing, timeout_seconds, "at " + (*server)->address(),
                                     "have this job's id and secret; whom the store refused is in the log");
      (*server)->ReportFault(0, late);
      std::this_thread::sleep_for(kFarewell);
      return late;
    }
    std::this_thread::sleep_for(kPause);
  }
  return std::unique_ptr<Store>(*std::move(server));
}

StatusOr<std::unique_ptr<Store>> FollowOverTcp(ProcessRank* place, double timeout_seconds) {
  TcpStoreOptions options;
  TRIREME_ASSIGN_OR_RETURN(options.where, ParseTcpAddress(place->rendezvous));
  TRIREME_ASSIGN_OR_RETURN(options.secret, NeedJobSecret());
  options.num_ports = place->num_ports;
  options.job = place->job;
  options.rank = place->rank;
  options.timeout_seconds = timeout_seconds;
  TRIREME_ASSIGN_OR_RETURN(auto store, TcpStore::Join(options));
  if (place->listen_on.empty()) place->listen_on = store->own_host();
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace

StatusOr<std::unique_ptr<Store>> JoinJob(ProcessRank* place, double timeout_seconds) {
  if (place->over_tcp()) {
    return place->rank == 0 ? LeadOverTcp(place, timeout_seconds) : FollowOverTcp(place, timeout_seconds);
  }
  const std::string folder = absl::StrCat(place->rendezvous, "/", place->job);
  if (place->supervised) {
    TRIREME_ASSIGN_OR_RETURN(auto store, FileStore::Open(folder));
    return std::unique_ptr<Store>(std::move(store));
  }
  return place->rank == 0 ? Lead(*place, folder, timeout_seconds) : Follow(*place, folder, timeout_seconds);
}

}  // namespace trireme

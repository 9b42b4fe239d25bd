#include "parallel/launch/rendezvous.h"

#include <chrono>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "parallel/launch/file_store.h"
#include "parallel/launch/job_folder.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPause = std::chrono::milliseconds(5);

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

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
      return absl::DeadlineExceededError(absl::StrCat(
          "rank 0 waited ", timeout_seconds, " s in ", store->folder(), " for rank", missing.size() > 1 ? "s " : " ",
          absl::StrJoin(missing, ", "), "; find out whether they run and see this folder"));
    }
    std::this_thread::sleep_for(kPause);
  }
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<Store>> Lead(const ProcessRank& place, const std::string& folder, double timeout_seconds) {
  auto store = FileStore::Create(folder);
  if (absl::IsAlreadyExists(store.status()) && RemoveIfLeftOver(folder)) store = FileStore::Create(folder);
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

}  // namespace

StatusOr<std::unique_ptr<Store>> JoinJob(const ProcessRank& place, double timeout_seconds) {
  const std::string folder = absl::StrCat(place.rendezvous, "/", place.job);
  if (place.supervised) {
    TRIREME_ASSIGN_OR_RETURN(auto store, FileStore::Open(folder));
    return std::unique_ptr<Store>(std::move(store));
  }
  return place.rank == 0 ? Lead(place, folder, timeout_seconds) : Follow(place, folder, timeout_seconds);
}

}  // namespace trireme

#include "parallel/launch/store.h"

#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace trireme {
namespace {

constexpr char kFaultKey[] = "fault";
constexpr char kWitnessKey[] = "witness";

std::string Encode(int rank, const Status& status) {
  return absl::StrCat(rank, " ", static_cast<int>(status.code()), " ", status.message());
}

std::optional<JobFault> Decode(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(' ', 2));
  int rank = 0, code = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &rank) || !absl::SimpleAtoi(parts[1], &code) || code == 0) {
    return std::nullopt;
  }
  return JobFault{rank, Status(static_cast<absl::StatusCode>(code), parts[2])};
}

}  // namespace

StatusOr<std::string> Store::Wait(const std::string& key, const std::string& what, double seconds,
                                  const std::function<Status()>& look) const {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  auto looked_at = start;
  auto pause = std::chrono::microseconds(200);
  Status seen;
  while (true) {
    TRIREME_ASSIGN_OR_RETURN(const std::optional<std::string> value, Find(key));
    if (value.has_value()) return *value;
    if (const auto found = fault()) return DescribeFault(*found);
    TRIREME_RETURN_IF_ERROR(seen);
    const auto now = Clock::now();
    if (std::chrono::duration<double>(now - start).count() > seconds) {
      return absl::DeadlineExceededError(absl::StrCat("waited ", seconds, " s for ", what));
    }
    if (look != nullptr && now - looked_at > std::chrono::seconds(1)) {
      looked_at = now;
      seen = look();
      // Its last word may be there by now.
      if (!seen.ok()) continue;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(20000));
  }
}

JobFault Store::ReportFault(int rank, const Status& status) {
  CHECK(!status.ok()) << "a fault is reported for a reason";
  const StatusOr<std::string> stands = SetIfAbsent(kFaultKey, Encode(rank, status));
  if (stands.ok()) {
    const auto first = Decode(*stands);
    const bool again = first.has_value() && first->rank == rank && status != DescribeFault(*first) &&
                       absl::StrContains(status.message(), first->status.message());
    if (again && status != first->status) Set(kFaultKey, Encode(rank, status)).IgnoreError();
    if (first.has_value() && !again) return *first;
  }
  return {rank, status};
}

std::optional<JobFault> Store::FindFault(const char* key) const {
  const auto text = Find(key);
  return text.ok() && text->has_value() ? Decode(**text) : std::nullopt;
}

std::optional<JobFault> Store::fault() const { return FindFault(kFaultKey); }

void Store::ReportWitness(int rank, const Status& status) {
  const std::optional<JobFault> first = fault();
  if (!first.has_value() || first->rank == rank) return;
  const std::string known(DescribeFault(*first).message());
  if (status.message().size() <= known.size() || !absl::StrContains(status.message(), known)) return;
  SetIfAbsent(kWitnessKey, Encode(rank, status)).status().IgnoreError();
}

std::optional<JobFault> Store::witness() const { return FindFault(kWitnessKey); }

Status DescribeFault(const JobFault& fault) { return Annotate(fault.status, absl::StrCat("rank ", fault.rank)); }

std::string ProcessKey(int rank) { return absl::StrCat(kProcessKeys, rank); }

std::string EndedKey(int rank) { return absl::StrCat("ended.", rank); }

std::string StoppedKey(int rank) { return absl::StrCat("stopped.", rank); }

Status MemoryStore::Set(const std::string& key, const std::string& value) {
  std::lock_guard<std::mutex> lock(mutex_);
  values_[key] = value;
  return absl::OkStatus();
}

StatusOr<std::string> MemoryStore::SetIfAbsent(const std::string& key, const std::string& value) {
  std::lock_guard<std::mutex> lock(mutex_);
  return values_.emplace(key, value).first->second;
}

StatusOr<std::optional<std::string>> MemoryStore::Find(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = values_.find(key);
  return found == values_.end() ? std::nullopt : std::make_optional(found->second);
}

}  // namespace trireme

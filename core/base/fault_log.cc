#include "core/base/fault_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace trireme {

void FaultLog::Add(absl::string_view kind, absl::string_view where, absl::string_view message) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::string kind_string(kind);
  if (!seen_.emplace(kind_string, std::string(where)).second) return;
  if (++counts_[kind_string] <= kMaxKept) {
    faults_.push_back({kind_string, std::string(where), std::string(message)});
  }
}

std::vector<Fault> FaultLog::faults() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return faults_;
}

std::vector<Fault> FaultLog::all() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Fault> all = faults_;
  std::set<std::pair<std::string, std::string>> kept;
  for (const Fault& fault : faults_) kept.emplace(fault.kind, fault.where);
  for (const auto& place : seen_) {
    if (kept.count(place) == 0) all.push_back({place.first, place.second, ""});
  }
  return all;
}

std::map<std::string, int64_t> FaultLog::counts() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

bool FaultLog::empty() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return counts_.empty();
}

std::string FaultLog::Summary() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (counts_.empty()) return "";
  int64_t total = 0;
  std::vector<std::string> parts;
  for (const auto& [kind, count] : counts_) {
    total += count;
    const std::string& name = kind;
    const auto first = std::find_if(faults_.begin(), faults_.end(), [&](const Fault& f) { return f.kind == name; });
    parts.push_back(absl::StrCat(count, " x ", kind, " (first: ", first->where, ")"));
  }
  return absl::StrCat(total, total == 1 ? " fault" : " faults", " in the data: ", absl::StrJoin(parts, ", "));
}

}  // namespace trireme

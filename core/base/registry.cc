#include "core/base/registry.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace trireme {
namespace {

// Levenshtein's distance, for "did you mean".
int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// What the text format takes between brackets.
bool IsKindAndName(absl::string_view key) {
  const std::vector<absl::string_view> parts = absl::StrSplit(key, '/');
  return parts.size() == 2 && std::all_of(parts.begin(), parts.end(), [](absl::string_view part) {
           return !part.empty() && !absl::ascii_isdigit(part[0]) &&
                  std::all_of(part.begin(), part.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
         });
}

absl::string_view KindOf(absl::string_view key) { return key.substr(0, key.find('/')); }

}  // namespace

ComponentRegistry& ComponentRegistry::Global() {
  static auto* registry = new ComponentRegistry;
  return *registry;
}

void ComponentRegistry::Add(Entry entry) {
  std::lock_guard<std::mutex> lock(mutex_);
  entry.plugin = loading_;
  const auto found = entries_.find(entry.key);
  Status fault;
  if (!IsKindAndName(entry.key)) {
    fault = absl::InvalidArgumentError(
        absl::StrCat("a key is kind/name in letters, digits and _, not \"", entry.key, "\" (", entry.source, ")"));
  } else if (found != entries_.end()) {
    fault = absl::AlreadyExistsError(absl::StrCat(
        entry.key, " (", entry.source, ") is registered already, at ", found->second.source,
        found->second.plugin.empty() ? "" : absl::StrCat(" of ", found->second.plugin), "; give it another key"));
  }
  if (fault.ok()) {
    const std::string key = entry.key;
    entries_.emplace(key, std::move(entry));
    return;
  }
  CHECK(!loading_.empty()) << fault.message();
  if (loading_status_.ok()) loading_status_ = Annotate(fault, loading_);
}

std::string ComponentRegistry::Describe(const Entry& entry) {
  return absl::StrCat(entry.key, ", registered at ", entry.source,
                      entry.plugin.empty() ? "" : absl::StrCat(" of ", entry.plugin));
}

const ComponentRegistry::Entry* ComponentRegistry::FindOrNull(absl::string_view key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(std::string(key));
  return found == entries_.end() ? nullptr : &found->second;
}

StatusOr<const ComponentRegistry::Entry*> ComponentRegistry::Find(absl::string_view key) const {
  if (const Entry* entry = FindOrNull(key)) return entry;
  std::vector<std::string> known = Keys(KindOf(key));
  if (known.empty()) known = Keys();
  const auto nearest = std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
    return EditDistance(a, key) < EditDistance(b, key);
  });
  std::lock_guard<std::mutex> lock(mutex_);
  return absl::NotFoundError(absl::StrCat(
      "there is no component ", key, nearest == known.end() ? "" : absl::StrCat("; did you mean ", *nearest, "?"),
      " Known: ", absl::StrJoin(known, ", "),
      "; plugins loaded: ", plugins_.empty() ? "none" : absl::StrJoin(plugins_, ", ")));
}

std::vector<std::string> ComponentRegistry::Keys(absl::string_view kind) const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, entry] : entries_) {
    if (kind.empty() || KindOf(key) == kind) keys.push_back(key);
  }
  return keys;
}

void ComponentRegistry::BeginPlugin(const std::string& path) {
  std::lock_guard<std::mutex> lock(mutex_);
  loading_ = path;
  loading_status_ = absl::OkStatus();
}

Status ComponentRegistry::EndPlugin(const Status& opened) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Status status = opened.ok() ? loading_status_ : opened;
  if (status.ok()) {
    plugins_.push_back(loading_);
  } else {
    for (auto it = entries_.begin(); it != entries_.end();) {
      it = it->second.plugin == loading_ ? entries_.erase(it) : std::next(it);
    }
  }
  loading_.clear();
  return status;
}

}  // namespace trireme

#include "core/ops/engine_cache.h"

#include <glog/logging.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/file_lock.h"
#include "core/base/files.h"
#include "core/base/json_text.h"

namespace trireme::ops {
namespace {

using nlohmann::json;

// Raised when the meaning of an entry changes.
constexpr int kFormat = 1;
constexpr size_t kInsertsPerSave = 32;
// For a process that holds the file, which takes milliseconds unless somebody has stopped it.
constexpr std::chrono::seconds kLongestWait{5};

Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

StatusOr<EngineChoice> ParseChoice(const json& entry) {
  if (!entry.is_object() || !entry.contains("engine") || !entry["engine"].is_number_integer()) {
    return Wrong("an entry without an engine");
  }
  if (!entry.contains("fused") || !entry["fused"].is_boolean()) return Wrong("an entry without \"fused\"");
  if (!entry.contains("knobs") || !entry["knobs"].is_object()) return Wrong("an entry without knobs");
  EngineChoice choice;
  choice.engine = entry["engine"].get<int64_t>();
  choice.fused = entry["fused"].get<bool>();
  for (const auto& [name, value] : entry["knobs"].items()) {
    int64_t knob = 0;
    if (!absl::SimpleAtoi(name, &knob) || !value.is_number_integer()) return Wrong("a knob that is no number");
    choice.knobs[knob] = value.get<int64_t>();
  }
  return choice;
}

Status MakeFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? absl::OkStatus() : MakeFolder(path.substr(0, slash));
}

// Among the processes that have the file. Where it cannot be had in time, none is held: then two of them may compute
// with different engines, and their results differ by rounding.
std::unique_ptr<FileLock> LockFile(const std::string& path) {
  if (path.empty() || !MakeFolderOf(path).ok()) return nullptr;
  return std::make_unique<FileLock>(absl::StrCat(path, ".lock"), kLongestWait);
}

}  // namespace

std::string EngineChoicesToJson(const EngineChoices& choices) {
  json entries = json::object();
  for (const auto& [key, choice] : choices) {
    json knobs = json::object();
    for (const auto& [knob, value] : choice.knobs) knobs[std::to_string(knob)] = value;
    entries[key] = {{"engine", choice.engine}, {"fused", choice.fused}, {"knobs", knobs}};
  }
  // The name of a device is in a key, and need not be UTF-8.
  return JsonText(json{{"format", kFormat}, {"engines", entries}}, 1) + "\n";
}

StatusOr<EngineChoices> EngineChoicesFromJson(const std::string& text) {
  const json file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded()) return Wrong("not JSON");
  if (!file.is_object() || !file.contains("format") || file["format"] != kFormat) return Wrong("of another format");
  if (!file.contains("engines") || !file["engines"].is_object()) return Wrong("without engines");
  EngineChoices choices;
  for (const auto& [key, entry] : file["engines"].items()) {
    TRIREME_ASSIGN_OR_RETURN(choices[key], ParseChoice(entry));
  }
  return choices;
}

EngineCache::EngineCache(std::string path) : path_(std::move(path)), choices_(ReadFile()) {}

EngineCache::~EngineCache() { LockAndSave(); }

std::shared_ptr<EngineCache> EngineCache::OfFile(const std::string& path) {
  static auto* const mutex = new std::mutex;
  static auto* const caches = new std::map<std::string, std::weak_ptr<EngineCache>>;
  std::lock_guard<std::mutex> lock(*mutex);
  std::weak_ptr<EngineCache>& held = (*caches)[path];
  std::shared_ptr<EngineCache> cache = held.lock();
  if (cache == nullptr) held = cache = std::make_shared<EngineCache>(path);
  return cache;
}

std::optional<EngineChoice> EngineCache::Find(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = choices_.find(key);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void EngineCache::Insert(const std::string& key, const EngineChoice& choice) {
  std::lock_guard<std::mutex> lock(mutex_);
  choices_[key] = unsaved_[key] = choice;
  if (unsaved_.size() >= kInsertsPerSave) LockAndSave();
}

EngineChoice EngineCache::Agree(const std::string& key, const EngineChoice& choice,
                                const std::optional<EngineChoice>& refused) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::unique_ptr<FileLock> among_processes = LockFile(path_);
  const auto known = choices_.find(key);
  if (known != choices_.end() && known->second == refused) choices_.erase(known);
  // What this process computes with already stays.
  choices_.merge(ReadFile());
  const auto [agreed, is_first] = choices_.emplace(key, choice);
  if (is_first || agreed->second == refused) {
    agreed->second = unsaved_[key] = choice;
    Save();
  }
  return agreed->second;
}

EngineChoices EngineCache::ReadFile() {
  if (path_.empty()) return {};
  const StatusOr<std::string> text = trireme::ReadFile(path_);
  if (!text.ok()) {
    if (text.status().code() != absl::StatusCode::kNotFound && !warned_) {
      LOG(WARNING) << "engine choices are not read: " << text.status().message();
      warned_ = true;
    }
    return {};
  }
  StatusOr<EngineChoices> choices = EngineChoicesFromJson(*text);
  if (choices.ok()) return *std::move(choices);
  LOG(WARNING) << path_ << " is " << choices.status().message() << ", and will be replaced; engines are chosen anew";
  return {};
}

void EngineCache::LockAndSave() {
  if (unsaved_.empty()) return;
  const std::unique_ptr<FileLock> among_processes = LockFile(path_);
  Save();
}

void EngineCache::Save() {
  if (path_.empty()) return;
  // Others may have replaced what this process has only read.
  EngineChoices all = std::exchange(unsaved_, {});
  all.merge(ReadFile());
  all.insert(choices_.begin(), choices_.end());
  Status status = MakeFolderOf(path_);
  if (status.ok()) status = WriteFileAtomically(path_, EngineChoicesToJson(all));
  if (status.ok() || warned_) return;
  LOG(WARNING) << "engine choices are not kept for the next process: " << status.message();
  warned_ = true;
}

std::string UserCachePath(const std::string& name) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return absl::StrCat(cache, "/trireme/", name);
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return absl::StrCat(home, "/.cache/trireme/", name);
  return "";
}

}  // namespace trireme::ops

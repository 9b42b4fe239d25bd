#include "tools/report/metrics_log.h"

#include <cerrno>
#include <cstring>
#include <functional>

#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/base/json_text.h"

namespace trireme {
namespace {

// Other fields may be anything; these tell what it is of.
bool IsEvent(const nlohmann::ordered_json& json) {
  return json.is_object() && json.contains("event") && json["event"].is_string() &&
         (!json.contains("step") || json["step"].is_number_integer());
}

// Keeps the events for which keep(kind, step).
Status Rewrite(const std::string& path, const std::function<bool(const std::string& kind, int64_t step)>& keep,
               int64_t* broken) {
  TRIREME_ASSIGN_OR_RETURN(const Metrics before, ReadMetrics(path));
  *broken = before.broken;
  std::string kept;
  for (const auto& event : before.events) {
    if (keep(TextOf(event, "event"), FieldOf(event, "step", int64_t{0}))) kept += JsonText(event) + "\n";
  }
  return WriteFileAtomically(path, kept);
}

}  // namespace

StatusOr<std::unique_ptr<MetricsLog>> MetricsLog::Open(const std::string& path, int64_t keep_steps, int64_t* broken) {
  *broken = 0;
  const auto keep = [keep_steps](const std::string& kind, int64_t step) { return kind != "end" && step <= keep_steps; };
  if (keep_steps > 0 && PathExists(path)) {
    TRIREME_RETURN_IF_ERROR(Rewrite(path, keep, broken));
  } else {
    TRIREME_RETURN_IF_ERROR(WriteFileAtomically(path, ""));
  }
  auto log = std::unique_ptr<MetricsLog>(new MetricsLog(path));
  if (!log->file_) return absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
  return log;
}

Status MetricsLog::DropEvaluation(int64_t step) {
  int64_t broken = 0;
  TRIREME_RETURN_IF_ERROR(Rewrite(
      path_, [step](const std::string& kind, int64_t of) { return kind != "eval" || of != step; }, &broken));
  file_.close();
  file_.open(path_, std::ios::app);
  return absl::OkStatus();
}

Status MetricsLog::Write(const nlohmann::ordered_json& event) {
  errno = 0;
  if (!file_.is_open()) {
    file_.open(path_, std::ios::app);
    file_ << '\n';
  }
  file_ << JsonText(event) << std::endl;
  if (file_) return absl::OkStatus();
  const int error = errno;
  ++lost_;
  // A stream that has failed would refuse all that comes after.
  file_.close();
  file_.clear();
  return absl::UnavailableError(
      absl::StrCat(path_, ": cannot be written", error == 0 ? "" : absl::StrCat(": ", strerror(error))));
}

StatusOr<Metrics> ReadMetrics(const std::string& path) {
  TRIREME_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Metrics metrics;
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    auto event = nlohmann::ordered_json::parse(lines[i], nullptr, /*allow_exceptions=*/false);
    if (IsEvent(event)) {
      metrics.events.push_back(std::move(event));
    } else if (i + 1 < lines.size()) {
      ++metrics.broken;
    }
  }
  return metrics;
}

}  // namespace trireme

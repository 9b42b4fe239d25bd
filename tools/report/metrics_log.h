// metrics.jsonl: one JSON object a line; "event" is start, step, skip, eval or end. What a model names itself (its
// losses) lies in a field of its own, so that no name can be taken for another field.
#ifndef TRIREME_TOOLS_REPORT_METRICS_LOG_H_
#define TRIREME_TOOLS_REPORT_METRICS_LOG_H_

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "core/base/status.h"

namespace trireme {

// Used by one thread. Every line is flushed, so that a killed run keeps what it measured.
class MetricsLog {
 public:
  // Opens the file to append. Events of steps beyond `keep_steps` are dropped first: a run that was killed may have
  // gone on after the checkpoint from which it is resumed. 0 starts afresh. Lines of the file that were broken are
  // dropped, too, and counted in `*broken`.
  static StatusOr<std::unique_ptr<MetricsLog>> Open(const std::string& path, int64_t keep_steps, int64_t* broken);

  // Forgets an evaluation after this step, for one that is made again.
  Status DropEvaluation(int64_t step);

  // Unavailable if the line cannot be written, which may leave a part of it in the file; the next one is tried anew,
  // and stands on a line of its own.
  Status Write(const nlohmann::ordered_json& event);
  // How many could not be written.
  int64_t lost() const { return lost_; }

 private:
  explicit MetricsLog(const std::string& path) : path_(path), file_(path, std::ios::app) {}
  const std::string path_;
  std::ofstream file_;  // closed after a fault
  int64_t lost_ = 0;
};

struct Metrics {
  std::vector<nlohmann::ordered_json> events;
  int64_t broken = 0;  // lines that are no event of ours: what a full disk left of one
};

// A field of an event; `otherwise` where it is not there or of another kind: what is not finite is null in JSON.
template <class T>
T FieldOf(const nlohmann::ordered_json& event, const std::string& name, const T& otherwise) {
  const auto field = event.find(name);
  if (field == event.end()) return otherwise;
  const bool fits =
      std::is_arithmetic_v<T> ? field->is_number() : field->type() == nlohmann::ordered_json(otherwise).type();
  return fits ? field->template get<T>() : otherwise;
}
inline std::string TextOf(const nlohmann::ordered_json& event, const std::string& name) {
  return FieldOf(event, name, std::string());
}

// All of a file, but for a last line that was cut off.
StatusOr<Metrics> ReadMetrics(const std::string& path);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_METRICS_LOG_H_

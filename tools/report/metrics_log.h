// metrics.jsonl: one JSON object a line; "event" is start, step, eval or end.
#ifndef TRIREME_TOOLS_REPORT_METRICS_LOG_H_
#define TRIREME_TOOLS_REPORT_METRICS_LOG_H_

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

// Used by one thread. Every line is flushed, so that a killed run keeps what it measured.
class MetricsLog {
 public:
  // Opens the file to append. Events of steps beyond `keep_steps` are dropped first: a run that was killed may have
  // gone on after the checkpoint from which it is resumed. 0 starts afresh.
  static StatusOr<std::unique_ptr<MetricsLog>> Open(const std::string& path, int64_t keep_steps);

  void Write(const nlohmann::ordered_json& event);

 private:
  explicit MetricsLog(const std::string& path) : file_(path, std::ios::app) {}
  std::ofstream file_;
};

// All events of a file; a last line that was cut off is left out. DataLoss for anything else that is no JSON.
StatusOr<std::vector<nlohmann::ordered_json>> ReadMetrics(const std::string& path);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_METRICS_LOG_H_

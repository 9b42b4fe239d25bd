#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "tools/comparison/comparison_output.h"

namespace trireme {

std::string ComparisonJson(const Comparison& comparison) {
  nlohmann::ordered_json json = {{"device", comparison.device},
                                 {"parameters", comparison.parameters},
                                 {"global_batch_size", comparison.global_batch_size}};
  json["rows"] = nlohmann::ordered_json::array();
  for (const Row& row : comparison.rows) {
    nlohmann::ordered_json one = {{"strategy", row.combination.strategy}, {"workers", row.combination.workers}};
    if (!row.failure.empty()) {
      one["failure"] = row.failure;
    } else {
      const Spread& speed = row.images_per_second;
      one["runs"] = row.runs;
      one["images_per_second"] = {{"least", speed.least}, {"median", speed.median}, {"most", speed.most}};
      // JSON has no NaN: null.
      one["speedup"] = row.speedup;
      one["efficiency"] = row.efficiency;
      one["step_ms"] = row.step_ms;
      one["compute_ms"] = row.compute_ms;
      one["exposed_communication_ms"] = row.exposed_communication_ms;
      one["data_wait_ms"] = row.data_wait_ms;
      one["communication_ms"] = row.communication_ms;
      one["bytes_sent_a_step"] = row.bytes_sent_a_step;
      one["bytes_bound"] = row.bytes_bound;
      one["algorithm_bandwidth"] = row.algorithm_bandwidth;
      one["bus_bandwidth"] = row.bus_bandwidth;
      one["peak_bytes"] = row.peak_bytes;
      one["weight_difference"] = row.weight_difference;
      one["weight_difference_at"] = row.weight_difference_at;
      one["losses"] = row.losses;
    }
    json["rows"].push_back(std::move(one));
  }
  return JsonText(json, 1) + "\n";
}

}  // namespace trireme

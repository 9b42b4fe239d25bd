#include "tools/comparison/comparison_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace trireme {
namespace {

std::string Mebibytes(double bytes) { return absl::StrFormat("%.1f", bytes / (1 << 20)); }

std::string Difference(const Row& row) {
  if (!std::isfinite(row.weight_difference)) return "";
  return row.weight_difference == 0 ? "0" : absl::StrFormat("%.1e", row.weight_difference);
}

std::string AgainstBound(const Row& row) {
  return row.bytes_bound == 0 ? "" : absl::StrFormat("%.2f", row.bytes_sent_a_step / row.bytes_bound);
}

std::string Gigabytes(double bytes_a_second) {
  return bytes_a_second == 0 ? "" : absl::StrFormat("%.2f", bytes_a_second * 1e-9);
}

// Against a first row that failed there is none.
std::string SpeedUp(const Row& row) { return std::isfinite(row.speedup) ? absl::StrFormat("%.2f", row.speedup) : ""; }
std::string Efficiency(const Row& row) {
  return std::isfinite(row.efficiency) ? absl::StrFormat("%.0f %%", 100 * row.efficiency) : "";
}

std::string Milliseconds(double milliseconds) { return absl::StrFormat("%.1f", milliseconds); }

std::string Printed(const std::vector<Cells>& lines) {
  std::vector<size_t> widths(lines.front().size(), 0);
  for (const Cells& cells : lines) {
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  std::string text;
  for (const Cells& cells : lines) {
    for (size_t i = 0; i < cells.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : "  ",
                      absl::StrFormat(i == 0 ? "%-*s" : "%*s", static_cast<int>(widths[i]), cells[i]));
    }
    text += "\n";
  }
  return text;
}

}  // namespace

const std::vector<TableGroup>& TableGroups() {
  static const auto& groups = *new std::vector<TableGroup>{
      {"", {"strategy", "workers"}},
      {"speed", {"images/s", "(least - most)", "speed-up", "efficiency", "weights differ"}},
      {"time of a step, ms", {"step", "compute", "exposed", "data"}},
      {"communication", {"ms", "sent MiB", "/ bound", "alg GB/s", "bus GB/s"}},
      {"peak memory, MiB", {"parameters", "gradients", "optimizer", "activations", "total"}}};
  return groups;
}

double PeakBytes(const Row& row, const std::string& kind) {
  const auto found = row.peak_bytes.find(kind);
  return found == row.peak_bytes.end() ? 0 : found->second;
}

std::vector<Cells> CellsOf(const Row& row) {
  std::vector<Cells> groups = {{row.combination.strategy, std::to_string(row.combination.workers)}};
  if (!row.failure.empty()) return groups;
  const Spread& speed = row.images_per_second;
  groups.push_back({absl::StrFormat("%.1f", speed.median), absl::StrFormat("%.1f - %.1f", speed.least, speed.most),
                    SpeedUp(row), Efficiency(row), Difference(row)});
  groups.push_back({Milliseconds(row.step_ms), Milliseconds(row.compute_ms), Milliseconds(row.exposed_communication_ms),
                    Milliseconds(row.data_wait_ms)});
  groups.push_back({row.communication_ms == 0 ? "" : Milliseconds(row.communication_ms),
                    Mebibytes(row.bytes_sent_a_step), AgainstBound(row), Gigabytes(row.algorithm_bandwidth),
                    Gigabytes(row.bus_bandwidth)});
  Cells memory;
  for (const std::string& kind : TableGroups().back().header) memory.push_back(Mebibytes(PeakBytes(row, kind)));
  groups.push_back(std::move(memory));
  return groups;
}

std::string ComparisonTable(const Comparison& comparison) {
  std::string text;
  for (size_t group = 1; group < TableGroups().size(); ++group) {
    std::vector<Cells> lines = {TableGroups()[0].header};
    lines[0].insert(lines[0].end(), TableGroups()[group].header.begin(), TableGroups()[group].header.end());
    for (const Row& row : comparison.rows) {
      const std::vector<Cells> groups = CellsOf(row);
      lines.push_back(groups[0]);
      if (groups.size() == 1) {
        lines.back().push_back("failed");
      } else {
        lines.back().insert(lines.back().end(), groups[group].begin(), groups[group].end());
      }
    }
    absl::StrAppend(&text, group > 1 ? "\n" : "", TableGroups()[group].name, "\n", Printed(lines));
  }
  std::string failures;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) absl::StrAppend(&failures, row.combination.Describe(), ": ", row.failure, "\n");
  }
  return failures.empty() ? text : absl::StrCat(text, "\n", failures);
}

}  // namespace trireme

#include "tools/comparison/comparison_output.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "tools/report/chart.h"
#include "tools/report/page_style.h"

namespace trireme {
namespace {

constexpr double kMiB = 1 << 20;

std::string Mebibytes(double bytes) { return absl::StrFormat("%.1f", bytes / kMiB); }

std::string Difference(const Row& row) {
  if (!std::isfinite(row.weight_difference)) return "";
  return row.weight_difference == 0 ? "0" : absl::StrFormat("%.1e", row.weight_difference);
}

std::string AgainstBound(const Row& row) {
  if (row.bytes_bound == 0) return "";
  return absl::StrFormat("%.2f", row.bytes_sent_a_step / row.bytes_bound);
}

double Peak(const Row& row, const std::string& kind) {
  const auto found = row.peak_bytes.find(kind);
  return found == row.peak_bytes.end() ? 0 : found->second;
}

using Cells = std::vector<std::string>;

const Cells& Header() {
  static const Cells& header =
      *new Cells{"strategy", "workers", "images/s", "(least - most)", "speed-up", "efficiency", "step ms",
                 "compute",  "exposed", "data",     "sent MiB",       "/ bound",  "peak MiB",   "weights differ"};
  return header;
}

Cells CellsOf(const Row& row) {
  Cells cells = {row.combination.strategy, std::to_string(row.combination.workers)};
  if (!row.failure.empty()) {
    cells.push_back("failed");
    return cells;
  }
  const Spread& speed = row.images_per_second;
  for (const std::string& cell :
       {absl::StrFormat("%.1f", speed.median), absl::StrFormat("%.1f - %.1f", speed.least, speed.most),
        absl::StrFormat("%.2f", row.speedup), absl::StrFormat("%.0f %%", 100 * row.efficiency),
        absl::StrFormat("%.1f", row.step_ms), absl::StrFormat("%.1f", row.compute_ms),
        absl::StrFormat("%.1f", row.exposed_communication_ms), absl::StrFormat("%.1f", row.data_wait_ms),
        Mebibytes(row.bytes_sent_a_step), AgainstBound(row), Mebibytes(Peak(row, "total")), Difference(row)}) {
    cells.push_back(cell);
  }
  return cells;
}

std::string Cell(const std::string& text, const char* attributes) {
  return absl::StrCat("<td", attributes, ">", EscapeHtml(text), "</td>");
}

std::string RowsHtml(const Comparison& comparison) {
  std::string html = "<div class=\"wide\"><table><tr>";
  for (const std::string& name : Header()) absl::StrAppend(&html, "<th>", EscapeHtml(name), "</th>");
  html += "</tr>";
  for (const Row& row : comparison.rows) {
    html += "<tr>";
    if (!row.failure.empty()) {
      absl::StrAppend(
          &html, Cell(row.combination.strategy, ""), Cell(std::to_string(row.combination.workers), " class=\"number\""),
          Cell(row.failure, absl::StrFormat(" class=\"failed\" colspan=\"%d\"", Header().size() - 2).c_str()));
    } else {
      const Cells cells = CellsOf(row);
      html += Cell(cells[0], "");
      for (size_t i = 1; i < cells.size(); ++i) html += Cell(cells[i], " class=\"number\"");
    }
    html += "</tr>";
  }
  return html + "</table></div>";
}

// Horizontal bars, each in parts of one unit.
struct BarPart {
  std::string name;
  const char* colour;
  double value;
};

std::string Bars(const std::string& title, const std::string& unit,
                 const std::vector<std::pair<std::string, std::vector<BarPart>>>& bars) {
  double longest = 0;
  for (const auto& [name, parts] : bars) {
    double sum = 0;
    for (const BarPart& part : parts) sum += part.value;
    longest = std::max(longest, sum);
  }
  if (longest == 0) return "";
  std::string html = absl::StrCat("<div class=\"bars\"><h3>", EscapeHtml(title), "</h3><p class=\"soft\">");
  for (const BarPart& part : bars.front().second) {
    absl::StrAppendFormat(&html, "<i style=\"background:%s\"></i>%s &nbsp; ", part.colour, EscapeHtml(part.name));
  }
  html += "</p>";
  for (const auto& [name, parts] : bars) {
    double sum = 0;
    absl::StrAppend(&html, "<div class=\"bar\"><label>", EscapeHtml(name), "</label><span>");
    for (const BarPart& part : parts) {
      sum += part.value;
      absl::StrAppendFormat(&html, "<b style=\"width:%.2f%%;background:%s\" title=\"%s: %.1f %s\"></b>",
                            100 * part.value / longest, part.colour, EscapeHtml(part.name), part.value,
                            EscapeHtml(unit));
    }
    absl::StrAppendFormat(&html, "</span><em>%.1f %s</em></div>", sum, EscapeHtml(unit));
  }
  return html + "</div>";
}

// One line a strategy over the number of workers.
template <class Value>
std::string OverWorkers(const Comparison& comparison, ChartOptions options, bool with_ideal, const Value& value) {
  std::vector<ChartSeries> series;
  double most = 1;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    most = std::max<double>(most, row.combination.workers);
    auto found = std::find_if(series.begin(), series.end(),
                              [&](const ChartSeries& one) { return one.name == row.combination.strategy; });
    if (found == series.end()) found = series.insert(series.end(), {row.combination.strategy, {}, true});
    found->points.emplace_back(row.combination.workers, value(row));
  }
  for (ChartSeries& one : series) std::sort(one.points.begin(), one.points.end());
  if (with_ideal) series.push_back({"ideal", {{1, 1}, {most, most}}, false});
  options.x_label = "workers";
  options.x_from_zero = false;
  return LineChart(series, options);
}

std::string LossCurves(const Comparison& comparison) {
  std::vector<ChartSeries> series;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    ChartSeries one;
    one.name = absl::StrCat(row.combination.strategy, " x", row.combination.workers);
    for (size_t i = 0; i < row.losses.size(); ++i) one.points.emplace_back(static_cast<double>(i + 1), row.losses[i]);
    series.push_back(std::move(one));
  }
  ChartOptions options;
  options.title = "Loss, over each other";
  options.x_label = "step";
  return LineChart(series, options);
}

std::string Name(const Row& row) { return absl::StrCat(row.combination.strategy, " x", row.combination.workers); }

std::string TimeBars(const Comparison& comparison) {
  std::vector<std::pair<std::string, std::vector<BarPart>>> bars;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    bars.push_back({Name(row),
                    {{"compute", "#0072b2", row.compute_ms},
                     {"exposed communication", "#d55e00", row.exposed_communication_ms},
                     {"waiting for data", "#e69f00", row.data_wait_ms}}});
  }
  return bars.empty() ? "" : Bars("Time of a step", "ms", bars);
}

std::string MemoryBars(const Comparison& comparison) {
  std::vector<std::pair<std::string, std::vector<BarPart>>> bars;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    bars.push_back({Name(row),
                    {{"parameters", "#0072b2", Peak(row, "parameters") / kMiB},
                     {"gradients", "#d55e00", Peak(row, "gradients") / kMiB},
                     {"optimizer", "#009e73", Peak(row, "optimizer") / kMiB},
                     {"activations", "#cc79a7", Peak(row, "activations") / kMiB}}});
  }
  return bars.empty() ? "" : Bars("Peak memory of a worker, by kind", "MiB", bars);
}

constexpr char kStyle[] = R"(
body { max-width: 1400px; } .wide { overflow-x: auto; font-size: 13px; } .wide td, .wide th { padding-right: 10px; } .failed { color: #d55e00; } th { white-space: nowrap; } td { white-space: nowrap; }
td.failed { white-space: normal; } h3 { font-size: 15px; margin: 22px 0 2px; } .bars p { margin: 0 0 8px; }
.bars i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.bar { display: grid; grid-template-columns: 320px 1fr 90px; gap: 10px; align-items: center; margin: 3px 0; font-size: 13px; }
.bar label { text-align: right; overflow-wrap: anywhere; } .bar span { display: flex; height: 16px; }
.bar b { height: 100%; } .bar em { font-style: normal; color: var(--soft); font-variant-numeric: tabular-nums; }
)";

}  // namespace

std::string ComparisonTable(const Comparison& comparison) {
  std::vector<Cells> lines = {Header()};
  for (const Row& row : comparison.rows) lines.push_back(CellsOf(row));
  std::vector<size_t> widths(Header().size(), 0);
  for (const Cells& cells : lines) {
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  std::string text;
  for (const Cells& cells : lines) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      absl::StrAppend(&line, i == 0 ? "" : "  ",
                      absl::StrFormat(i == 0 ? "%-*s" : "%*s", static_cast<int>(widths[i]), cells[i]));
    }
    absl::StrAppend(&text, line, "\n");
  }
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) absl::StrAppend(&text, row.combination.Describe(), ": ", row.failure, "\n");
  }
  return text;
}

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
      one["speedup"] = row.speedup;
      one["efficiency"] = row.efficiency;
      one["step_ms"] = row.step_ms;
      one["compute_ms"] = row.compute_ms;
      one["exposed_communication_ms"] = row.exposed_communication_ms;
      one["data_wait_ms"] = row.data_wait_ms;
      one["bytes_sent_a_step"] = row.bytes_sent_a_step;
      one["bytes_bound"] = row.bytes_bound;
      one["peak_bytes"] = row.peak_bytes;
      // JSON has no NaN: null.
      one["weight_difference"] = row.weight_difference;
      one["weight_difference_at"] = row.weight_difference_at;
      one["losses"] = row.losses;
    }
    json["rows"].push_back(std::move(one));
  }
  return json.dump(1) + "\n";
}

std::string ComparisonPage(const Comparison& comparison, const ComparisonOptions& options, const std::string& title,
                           const std::string& config_text) {
  ChartOptions speed, speedup;
  speed.title = "Speed";
  speed.y_label = "images/s";
  speedup.title = "Speed-up over one worker";
  const std::string charts =
      absl::StrCat("<div class=\"charts\">",
                   OverWorkers(comparison, speed, false, [](const Row& row) { return row.images_per_second.median; }),
                   OverWorkers(comparison, speedup, true, [](const Row& row) { return row.speedup; }),
                   LossCurves(comparison), "</div>");
  return absl::StrCat(
      HtmlHead(title, kStyle), "<h1>", EscapeHtml(title), "</h1><div class=\"soft\">",
      EscapeHtml(absl::StrFormat(
          "Parallel strategies on %s: %d parameters, %d images a step. Each row was run %s in turn "
          "with the others: %d steps after %d of warm-up.",
          comparison.device, comparison.parameters, comparison.global_batch_size,
          options.rounds == 1 ? "once" : absl::StrCat(options.rounds, " times"), options.steps, options.warmup_steps)),
      "</div><h2>Results</h2>", RowsHtml(comparison),
      "<p class=\"soft\">images/s: median over runs. Bound: the least that an all-reduce of the gradients sends, "
      "2(n-1)/n of them. Weights differ: the largest relative difference of a tensor, after the last step, from those "
      "of the first row.</p>",
      "<h2>Plots</h2>", charts, TimeBars(comparison), MemoryBars(comparison), "<details><summary>Config</summary><pre>",
      EscapeHtml(config_text), "</pre></details></body></html>\n");
}

}  // namespace trireme

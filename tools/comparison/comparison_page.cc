#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/comparison/comparison_output.h"
#include "tools/comparison/comparison_table.h"
#include "tools/report/bars.h"
#include "tools/report/chart.h"
#include "tools/report/escape_html.h"
#include "tools/report/page_style.h"

namespace trireme {
namespace {

constexpr double kMiB = 1 << 20;

std::string Name(const Row& row) {
  return absl::StrCat(row.combination.strategy, ", ", row.combination.workers,
                      row.combination.workers == 1 ? " worker" : " workers");
}

// The columns that name a row, and those of some groups.
std::string TableHtml(const Comparison& comparison, const std::vector<size_t>& which) {
  std::string groups, header;
  int columns = 0;
  const auto add_header = [&](const TableGroup& group) {
    absl::StrAppendFormat(&groups, "<th class=\"group\" colspan=\"%d\">%s</th>", group.header.size(),
                          EscapeHtml(group.name));
    for (size_t i = 0; i < group.header.size(); ++i) {
      absl::StrAppend(&header, i == 0 && columns > 0 ? "<th class=\"first\">" : "<th>", EscapeHtml(group.header[i]),
                      "</th>");
      ++columns;
    }
  };
  add_header(TableGroups()[0]);
  for (const size_t group : which) add_header(TableGroups()[group]);
  std::string html = absl::StrCat("<div class=\"wide\"><table><tr>", groups, "</tr><tr>", header, "</tr>");
  for (const Row& row : comparison.rows) {
    const std::vector<Cells> cells = CellsOf(row);
    absl::StrAppend(&html, "<tr><td>", EscapeHtml(cells[0][0]), "</td><td class=\"number\">", EscapeHtml(cells[0][1]),
                    "</td>");
    if (!row.failure.empty()) {
      absl::StrAppendFormat(&html, "<td class=\"failed first\" colspan=\"%d\">%s</td></tr>", columns - 2,
                            EscapeHtml(row.failure));
      continue;
    }
    for (const size_t group : which) {
      for (size_t i = 0; i < cells[group].size(); ++i) {
        absl::StrAppend(&html, i == 0 ? "<td class=\"number first\">" : "<td class=\"number\">",
                        EscapeHtml(cells[group][i]), "</td>");
      }
    }
    html += "</tr>";
  }
  return html + "</table></div>";
}

// One line a strategy over the number of workers; `spread` gives the ends of what was seen around a value.
template <class Value, class Range>
std::string OverWorkers(const Comparison& comparison, ChartOptions options, bool with_ideal, const Value& value,
                        const Range& spread) {
  std::vector<ChartSeries> series;
  double most = 1;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    most = std::max<double>(most, row.combination.workers);
    auto found = std::find_if(series.begin(), series.end(),
                              [&](const ChartSeries& one) { return one.name == row.combination.strategy; });
    if (found == series.end()) {
      found = series.insert(series.end(), ChartSeries());
      found->name = row.combination.strategy;
      found->markers = true;
    }
    const auto place = std::upper_bound(found->points.begin(), found->points.end(),
                                        std::make_pair<double, double>(row.combination.workers, 0.0));
    const auto at = place - found->points.begin();
    found->points.insert(place, {row.combination.workers, value(row)});
    found->spread.insert(found->spread.begin() + at, spread(row));
  }
  // Beside one another, or the last would hide the others.
  for (size_t i = 0; i < series.size(); ++i) {
    const double aside = (static_cast<double>(i) - 0.5 * static_cast<double>(series.size() - 1)) * 0.012 * (most - 1);
    for (auto& point : series[i].points) point.first += aside;
  }
  if (with_ideal) {
    series.emplace_back();
    series.back().name = "ideal";
    series.back().points = {{1, 1}, {most, most}};
  }
  options.x_label = "workers";
  options.x_from_zero = false;
  options.x_integers = true;
  return LineChart(series, options);
}

bool HasSeveralWorkerCounts(const Comparison& comparison) {
  for (const Row& a : comparison.rows) {
    for (const Row& b : comparison.rows) {
      if (a.failure.empty() && b.failure.empty() && a.combination.strategy == b.combination.strategy &&
          a.combination.workers != b.combination.workers) {
        return true;
      }
    }
  }
  return false;
}

std::string SpeedBars(const Comparison& comparison) {
  std::vector<Bar> bars;
  for (const Row& row : comparison.rows) {
    if (row.failure.empty()) bars.push_back({Name(row), {{"median of runs", "#0072b2", row.images_per_second.median}}});
  }
  return BarChart("Speed", "images/s", bars);
}

std::string SpeedCharts(const Comparison& comparison) {
  if (!HasSeveralWorkerCounts(comparison)) return "";
  ChartOptions speed, speedup;
  speed.title = "Speed";
  speed.y_label = "images/s, median and spread of runs";
  speedup.title = "Speed-up over one worker";
  const double base = comparison.rows.front().images_per_second.median;
  const std::string of_speed = OverWorkers(
      comparison, speed, false, [](const Row& row) { return row.images_per_second.median; },
      [](const Row& row) { return std::make_pair(row.images_per_second.least, row.images_per_second.most); });
  if (!(base > 0)) return of_speed;
  return of_speed + OverWorkers(
                        comparison, speedup, true, [](const Row& row) { return row.speedup; },
                        [base](const Row& row) {
                          return std::make_pair(row.images_per_second.least / base, row.images_per_second.most / base);
                        });
}

std::string LossCurves(const Comparison& comparison) {
  std::vector<ChartSeries> series;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    ChartSeries one;
    one.name = Name(row);
    for (size_t i = 0; i < row.losses.size(); ++i) one.points.emplace_back(static_cast<double>(i + 1), row.losses[i]);
    series.push_back(std::move(one));
  }
  ChartOptions options;
  options.title = "Loss, one run over the other";
  options.x_label = "step";
  options.y_from_zero = false;  // what tells strategies apart is small
  return LineChart(series, options);
}

std::string TimeBars(const Comparison& comparison) {
  std::vector<Bar> bars;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    bars.push_back({Name(row),
                    {{"compute", "#0072b2", row.compute_ms},
                     {"exposed communication", "#d55e00", row.exposed_communication_ms},
                     {"waiting for data", "#e69f00", row.data_wait_ms}}});
  }
  return BarChart("Time of a step", "ms", bars);
}

std::string MemoryBars(const Comparison& comparison) {
  std::vector<Bar> bars;
  for (const Row& row : comparison.rows) {
    if (!row.failure.empty()) continue;
    bars.push_back({Name(row),
                    {{"parameters", "#0072b2", PeakBytes(row, "parameters") / kMiB},
                     {"gradients", "#d55e00", PeakBytes(row, "gradients") / kMiB},
                     {"optimizer", "#009e73", PeakBytes(row, "optimizer") / kMiB},
                     {"activations", "#cc79a7", PeakBytes(row, "activations") / kMiB}}});
  }
  return BarChart("Peak memory of a worker, by kind", "MiB", bars);
}

std::string Ended(const Status& ended) {
  return ended.ok() ? "" : absl::StrCat("<p><b>Not finished:</b> ", EscapeHtml(std::string(ended.message())), "</p>");
}

constexpr char kNotes[] =
    "images/s: median over runs. Weights differ: the largest relative difference of a tensor, after the last step, "
    "from those of the first row. Exposed: waiting for peers, synchronised norm's meetings included, with nothing else "
    "to do; data: waiting for images; compute: the rest; means over the workers. Communication, ms: gradients or "
    "parameters were on their way, hidden or not, late peers included. Sent: by the worker that sent most. Bound: the "
    "least that an all-reduce of the gradients sends, 2(n-1)/n of them. Bandwidths as nccl-tests define them: bytes of "
    "the gradients over the time of communication, and that times 2(n-1)/n. Memory: of the worker that took most; "
    "peaks of its kinds may lie apart.";

constexpr char kStyle[] = R"(
body { max-width: 1280px; } .wide { overflow-x: auto; font-size: 13px; margin-bottom: 18px; }
.wide table { min-width: 100%; }
.wide td, .wide th { padding: 4px 9px 4px 0; white-space: nowrap; } .wide th { text-align: right; font-weight: 600; }
.wide th:first-child { text-align: left; } .wide .first { padding-left: 14px; border-left: 1px solid var(--line); }
.wide th.group { text-align: center; color: var(--soft); border-left: 1px solid var(--line); }
.wide th.group:first-child { border-left: none; } .wide td.failed { color: var(--bad); white-space: normal; }
.wide td:first-child { min-width: 300px; white-space: normal; }
)";

}  // namespace

std::string ComparisonPage(const Comparison& comparison, const ComparisonOptions& options, const std::string& title,
                           const std::string& config_text) {
  return absl::StrCat(
      HtmlHead(title, kStyle), "<h1>", EscapeHtml(title), "</h1><div class=\"soft\">",
      EscapeHtml(absl::StrFormat(
          "Parallel strategies on %s: %d parameters, %d images a step. Each row was run %s in turn "
          "with the others: %d steps after %d of warm-up.",
          comparison.device, comparison.parameters, comparison.global_batch_size,
          options.rounds == 1 ? "once" : absl::StrCat(options.rounds, " times"), options.steps, options.warmup_steps)),
      "</div>", Ended(comparison.ended), "<h2>Results</h2>", TableHtml(comparison, {1, 2}),
      TableHtml(comparison, {3, 4}), "<p class=\"soft\">", EscapeHtml(kNotes),
      "</p><h2>Plots</h2><div class=\"charts\">", SpeedCharts(comparison), LossCurves(comparison), "</div>",
      SpeedBars(comparison), TimeBars(comparison), MemoryBars(comparison), "<details><summary>Config</summary><pre>",
      EscapeHtml(config_text), "</pre></details></body></html>\n");
}

}  // namespace trireme

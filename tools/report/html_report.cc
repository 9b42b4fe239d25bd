#include "tools/report/html_report.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/files.h"
#include "tools/report/chart.h"
#include "tools/report/escape_html.h"
#include "tools/report/metrics_log.h"
#include "tools/report/page_style.h"
#include "tools/report/progress.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string Card(const std::string& value, const std::string& label) {
  return absl::StrCat("<div class=\"card\"><b>", EscapeHtml(value), "</b><span>", EscapeHtml(label), "</span></div>");
}

std::string Soft(const std::string& line) {
  return line.empty() ? "" : absl::StrCat("<div class=\"soft\">", EscapeHtml(line), "</div>");
}

// One series for each number that `wanted` accepts by its name: of the events' fields, or of those in their field
// `inside`.
template <class Wanted>
std::vector<ChartSeries> SeriesOf(const std::vector<Json>& events, const std::string& kind, bool markers,
                                  const Wanted& wanted, const std::string& inside = "") {
  std::vector<ChartSeries> series;
  for (const Json& event : events) {
    if (TextOf(event, "event") != kind) continue;
    const double step = FieldOf(event, "step", 0.0);
    const Json fields = inside.empty() ? event : FieldOf(event, inside, Json::object());
    for (const auto& [key, value] : fields.items()) {
      if (!value.is_number() || !wanted(key)) continue;
      auto found = std::find_if(series.begin(), series.end(), [&k = key](const ChartSeries& s) { return s.name == k; });
      if (found == series.end()) found = series.insert(series.end(), {key, {}, markers, {}});
      found->points.emplace_back(step, value.template get<double>());
    }
  }
  return series;
}

ChartOptions Options(const std::string& title) {
  ChartOptions options;
  options.title = title;
  options.x_label = "step";
  return options;
}

std::string Charts(const std::vector<Json>& events) {
  const auto is = [](const std::string& name) { return [name](const std::string& key) { return key == name; }; };
  std::string html = "<div class=\"charts\">";
  ChartOptions losses = Options("Losses");
  losses.smooth = true;
  std::vector<ChartSeries> loss = SeriesOf(events, "step", false, is("loss"));
  const auto any = [](const std::string&) { return true; };
  for (ChartSeries& part : SeriesOf(events, "step", false, any, "losses")) loss.push_back(std::move(part));
  html += LineChart(loss, losses);
  ChartOptions map = Options("Mean average precision");
  map.y_to = 1;
  // Where it is another curve than mAP50's, nobody could tell them apart.
  const auto is_map = [](const std::string& key) { return absl::StartsWith(key, "mAP") && key != "mAP50/COCO"; };
  html += LineChart(SeriesOf(events, "eval", true, is_map), map);
  const std::vector<ChartSeries> classes =
      SeriesOf(events, "eval", true, [](const std::string& key) { return absl::StartsWith(key, "AP50/"); });
  if (classes.size() > 1 && classes.size() <= 8) {
    ChartOptions by_class = Options("Average precision by class");
    by_class.y_to = 1;
    html += LineChart(classes, by_class);
  }
  html += LineChart(SeriesOf(events, "step", false, is("lr")), Options("Learning rate"));
  const std::vector<ChartSeries> norm = SeriesOf(events, "step", false, is("gradient_norm"));
  if (!norm.empty()) {
    ChartOptions of_norm = Options("Norm of the gradients, before clipping");
    of_norm.smooth = true;
    html += LineChart(norm, of_norm);
  }
  ChartOptions speed = Options("Speed");
  speed.y_label = "images/s";
  speed.smooth = true;
  html += LineChart(SeriesOf(events, "step", false, is("images_per_second")), speed);
  ChartOptions waits = Options("Waiting and communication");
  waits.y_label = "share of the step";
  waits.smooth = true;
  html += LineChart(SeriesOf(events, "step", false,
                             [](const std::string& key) {
                               return key == "data_wait" || key == "peer_wait" || key == "communication";
                             }),
                    waits);
  return html + "</div>";
}

// All of a folder, with what they show.
StatusOr<std::string> Pictures(const std::string& folder, const std::string& title, const std::string& legend) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".jpg") files.push_back(entry.path());
  }
  if (files.empty()) return std::string();
  std::sort(files.begin(), files.end());
  std::string html = absl::StrCat("<h2>", title, "</h2><p class=\"soft\">", legend, "</p><div class=\"pictures\">");
  for (const fs::path& file : files) {
    TRIREME_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file.string()));
    absl::StrAppend(&html, "<figure><img alt=\"\" src=\"data:image/jpeg;base64,", absl::Base64Escape(bytes),
                    "\"><figcaption>", EscapeHtml(file.stem().string()), "</figcaption></figure>");
  }
  return html + "</div>";
}

std::string Faults(const FaultLog& faults) {
  if (faults.empty()) return "";
  std::string html = "<h2>Faults in the data</h2><table><tr><th>kind</th><th>count</th></tr>";
  for (const auto& [kind, count] : faults.counts()) {
    absl::StrAppend(&html, "<tr><td>", EscapeHtml(kind), "</td><td class=\"number\">", count, "</td></tr>");
  }
  html += "</table><details><summary>Each of them</summary><table><tr><th>where</th><th>what</th></tr>";
  for (const Fault& fault : faults.faults()) {
    absl::StrAppend(&html, "<tr><td>", EscapeHtml(fault.where), "</td><td>", EscapeHtml(fault.message), "</td></tr>");
  }
  return html + "</table></details>";
}

std::string SkippedSteps(const std::vector<Json>& events) {
  std::string rows;
  for (const Json& event : events) {
    if (TextOf(event, "event") != "skip") continue;
    absl::StrAppend(&rows, "<tr><td>", EscapeHtml(TextOf(event, "why")), "</td></tr>");
  }
  return rows.empty() ? "" : absl::StrCat("<h2>Steps that were left out</h2><table>", rows, "</table>");
}

std::string Unreached(const std::vector<Json>& events) {
  std::vector<std::string> names;
  for (const Json& event : events) {
    if (TextOf(event, "event") != "unreached") continue;
    names.clear();
    for (const Json& name : FieldOf(event, "parameters", Json::array())) {
      if (name.is_string()) names.push_back(name.get<std::string>());
    }
  }
  if (names.empty()) return "";
  return absl::StrCat("<h2>Parameters that no gradient came to in the first step</h2><p>",
                      EscapeHtml(absl::StrJoin(names, ", ")), "</p>");
}

// Of metrics.jsonl. What could not be written may have left a part, which is broken.
std::string Lost(int64_t broken, int64_t lost) {
  const int64_t count = std::max(broken, lost);
  return count == 0 ? "" : absl::StrCat("<p>", count, " lines of metrics.jsonl could not be written, or read.</p>");
}

std::string Memory(const Json& end) {
  if (!end.contains("peak_bytes") || end["peak_bytes"].empty()) return "";
  std::string html = "<h2>Peak memory</h2><table><tr><th></th>";
  for (size_t rank = 0; rank < end["peak_bytes"].size(); ++rank) absl::StrAppend(&html, "<th>rank ", rank, "</th>");
  html += "</tr>";
  for (const auto& [kind, unused] : end["peak_bytes"][0].items()) {
    absl::StrAppend(&html, "<tr><td>", EscapeHtml(kind), "</td>");
    for (const Json& of_rank : end["peak_bytes"]) {
      absl::StrAppend(&html, "<td class=\"number\">",
                      absl::StrFormat("%.1f MiB", FieldOf(of_rank, kind, 0.0) / (1 << 20)), "</td>");
    }
    html += "</tr>";
  }
  return html + "</table>";
}

std::string Summary(const std::vector<Json>& events, const Json& start, const Json& end) {
  std::string html = "<div class=\"cards\">";
  Json last_eval;
  double images = 0, seconds = 0;
  for (const Json& event : events) {
    if (TextOf(event, "event") == "eval") last_eval = event;
    if (TextOf(event, "event") == "step" && FieldOf(event, "images_per_second", 0.0) > 0) {
      images += FieldOf(start, "global_batch_size", 0.0);
      seconds += FieldOf(start, "global_batch_size", 0.0) / event["images_per_second"].get<double>();
    }
  }
  for (const auto& [key, value] : last_eval.items()) {
    if ((key == "mAP50" || key == "mAP") && value.is_number())
      html += Card(absl::StrFormat("%.3f", value.get<double>()), key);
  }
  html += Card(std::to_string(FieldOf(end, "step", int64_t{0})),
               absl::StrCat("of ", FieldOf(start, "total_steps", int64_t{0}), " steps"));
  html += Card(FormatDuration(FieldOf(end, "seconds", 0.0)), "in all");
  if (seconds > 0) html += Card(absl::StrFormat("%.1f", images / seconds), "images/s");
  html += Card(std::to_string(FieldOf(start, "workers", 1)), absl::StrCat("workers, ", TextOf(start, "device")));
  html += Card(absl::StrFormat("%.2f M", FieldOf(start, "parameters", 0.0) / 1e6), "parameters");
  return html + "</div>";
}

}  // namespace

Status WriteHtmlReport(const std::string& run_folder, const std::string& title, const FaultLog& faults,
                       const std::string& path) {
  TRIREME_ASSIGN_OR_RETURN(const Metrics metrics, ReadMetrics(run_folder + "/metrics.jsonl"));
  const std::vector<Json>& events = metrics.events;
  Json start = Json::object(), end = Json::object();
  for (const Json& event : events) {
    if (TextOf(event, "event") == "start") start = event;
    if (TextOf(event, "event") == "end") end = event;
  }
  TRIREME_ASSIGN_OR_RETURN(const std::string found,
                           Pictures(run_folder + "/pictures", "Unseen images",
                                    "Left: what is annotated. Right: what the detector finds, with its score."));
  TRIREME_ASSIGN_OR_RETURN(const std::string trained_on,
                           Pictures(run_folder + "/train_pictures", "Images of the first step",
                                    "As they are trained on, changed by the transforms, with what is annotated."));
  TRIREME_ASSIGN_OR_RETURN(const std::string config, ReadFile(run_folder + "/config.pbtxt"));
  const std::string status = TextOf(end, "status");
  const std::string html = absl::StrCat(
      HtmlHead(title, ""), "<h1>", EscapeHtml(title), "</h1><div class=\"soft\">",
      EscapeHtml(absl::StrCat(TextOf(start, "model"), " with ", TextOf(start, "strategy"), ", seed ",
                              FieldOf(start, "seed", uint64_t{0}), ", started ", TextOf(start, "time"))),
      "</div>", Soft(TextOf(start, "lr_scaling")),
      status == "done" ? "" : absl::StrCat("<p><b>Not finished:</b> ", EscapeHtml(status), "</p>"),
      Lost(metrics.broken, FieldOf(end, "lost_lines", int64_t{0})), Summary(events, start, end), "<h2>Curves</h2>",
      Charts(events), found, trained_on, Unreached(events), SkippedSteps(events), Faults(faults), Memory(end),
      "<details><summary>Config</summary><pre>", EscapeHtml(config), "</pre></details></body></html>\n");
  return WriteFileAtomically(path, html);
}

}  // namespace trireme

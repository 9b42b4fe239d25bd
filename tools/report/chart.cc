#include "tools/report/chart.h"

#include <cmath>
#include <iterator>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/report/chart_data.h"
#include "tools/report/escape_html.h"

namespace trireme {
namespace {

constexpr double kWidth = 560, kHeight = 300;
constexpr double kLeft = 56, kRight = 14, kTop = 34, kBottom = 42;
// Distinguishable with the common colour blindnesses, on light and dark ground (Okabe and Ito's set).
const char* const kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#7f7f7f"};

// Of line i: colours that come a second time are dashed, and dotted after that.
struct LineStyle {
  explicit LineStyle(size_t i) : colour(kColours[i % std::size(kColours)]) {
    const size_t round = i / std::size(kColours);
    if (round > 0) dashes = round == 1 ? " stroke-dasharray=\"7 3\"" : " stroke-dasharray=\"2 3\"";
  }
  const char* colour;
  const char* dashes = "";
};

std::string Number(double value) {
  if (value != 0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e6)) return absl::StrFormat("%.1e", value);
  return absl::StrFormat("%.6g", value);
}

// Where the data lie in the picture: the plot is between `top` and `bottom`.
struct Frame {
  double X(double x) const { return kLeft + (x - range.x0) / (range.x1 - range.x0) * (kWidth - kLeft - kRight); }
  double Y(double y) const { return bottom - (y - range.y0) / (range.y1 - range.y0) * (bottom - top); }

  ChartRange range;
  double top, bottom;
};

// Where each name of the legend stands: as many in a line as its width takes.
struct Legend {
  static constexpr double kLine = 15;
  std::vector<std::pair<double, double>> places;
  double height = 0;  // of the lines after the first

  explicit Legend(const std::vector<ChartSeries>& series) {
    double x = kLeft + 7;
    for (const ChartSeries& one : series) {
      const double width = 33 + 6.2 * static_cast<double>(one.name.size());
      if (x + width > kWidth - kRight && x > kLeft + 7) {
        x = kLeft + 7;
        height += kLine;
      }
      places.emplace_back(x, kTop + height);
      x += width;
    }
  }
};

std::string Path(const ChartPoints& points, const Frame& frame) {
  std::string path;
  bool pen_down = false;
  for (const auto& [x, y] : points) {
    if (!std::isfinite(y)) {
      pen_down = false;
      continue;
    }
    absl::StrAppendFormat(&path, "%s%.1f,%.1f", pen_down ? "L" : "M", frame.X(x), frame.Y(y));
    pen_down = true;
  }
  return path;
}

void AppendAxes(const Frame& frame, const ChartOptions& options, std::string* svg) {
  for (double tick : RoundTicks(frame.range.y0, frame.range.y1, 5)) {
    absl::StrAppendFormat(svg,
                          "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                          "<text class=\"tick\" text-anchor=\"end\" x=\"%g\" y=\"%.1f\">%s</text>",
                          kLeft, kWidth - kRight, frame.Y(tick), frame.Y(tick), kLeft - 6, frame.Y(tick) + 3.5,
                          Number(tick));
  }
  for (double tick : RoundTicks(frame.range.x0, frame.range.x1, 6)) {
    if (options.x_integers && tick != std::round(tick)) continue;
    absl::StrAppendFormat(svg, "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%g\">%s</text>",
                          frame.X(tick), frame.bottom + 16, Number(tick));
  }
  absl::StrAppendFormat(svg, "<text class=\"tick\" text-anchor=\"middle\" x=\"%g\" y=\"%g\">%s</text>",
                        (kLeft + kWidth - kRight) / 2, frame.bottom + kBottom - 8, EscapeHtml(options.x_label));
  absl::StrAppendFormat(svg, "<text class=\"tick\" text-anchor=\"end\" x=\"%g\" y=\"18\">%s</text>", kWidth - kRight,
                        EscapeHtml(options.y_label));
}

void AppendSeries(const ChartSeries& one, const LineStyle& style, const Frame& frame, const ChartOptions& options,
                  std::string* svg) {
  const ChartPoints points = Thin(one.points);
  const bool smooth = options.smooth && points.size() > 20;
  if (smooth) {
    absl::StrAppendFormat(svg, "<path class=\"line\" stroke=\"%s\" opacity=\"0.25\" d=\"%s\"/>", style.colour,
                          Path(points, frame));
  }
  absl::StrAppendFormat(svg, "<path class=\"line\" stroke=\"%s\"%s d=\"%s\"/>", style.colour, style.dashes,
                        Path(smooth ? Smooth(points) : points, frame));
  for (size_t i = 0; i < one.spread.size(); ++i) {
    const auto& [low, high] = one.spread[i];
    if (!std::isfinite(low) || !std::isfinite(high)) continue;
    const double x = frame.X(one.points[i].first);
    absl::StrAppendFormat(svg, "<line stroke=\"%s\" opacity=\"0.6\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                          style.colour, x, x, frame.Y(low), frame.Y(high));
  }
  // Invisible dots carry the hover text where they are not shown.
  const bool sparse = one.markers || points.size() <= 2;
  for (const auto& [x, y] : points) {
    if (!std::isfinite(y)) continue;
    absl::StrAppendFormat(
        svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\"%s><title>%s: %s at %s %s</title></circle>",
        frame.X(x), frame.Y(y), sparse ? 3 : 4, style.colour, sparse ? "" : " fill-opacity=\"0\"", EscapeHtml(one.name),
        Number(y), EscapeHtml(options.x_label), Number(std::round(x)));
  }
}

void AppendLegend(const std::vector<ChartSeries>& series, const Legend& legend, std::string* svg) {
  for (size_t i = 0; i < series.size(); ++i) {
    const auto& [x, y] = legend.places[i];
    const LineStyle style(i);
    absl::StrAppendFormat(svg,
                          "<line class=\"line\" stroke=\"%s\"%s x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>"
                          "<text class=\"tick\" x=\"%.1f\" y=\"%g\">%s</text>",
                          style.colour, style.dashes, x - 7, x + 10, y - 0.5, y - 0.5, x + 14, y + 3,
                          EscapeHtml(series[i].name));
  }
}

}  // namespace

std::string LineChart(const std::vector<ChartSeries>& series, const ChartOptions& options) {
  // What the legend takes is added to the height, so that the plot keeps its own.
  const Legend legend(series);
  const double height = kHeight + legend.height;
  std::string svg = absl::StrFormat(
      "<svg class=\"chart\" viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">"
      "<text class=\"title\" x=\"%g\" y=\"18\">%s</text>",
      kWidth, height, EscapeHtml(options.title), kLeft, EscapeHtml(options.title));
  const std::optional<ChartRange> range = RangeOf(series, options);
  if (!range.has_value()) {
    return absl::StrCat(svg, absl::StrFormat("<text x=\"%g\" y=\"%g\">no data yet</text></svg>", kLeft, height / 2));
  }
  const double top = kTop + legend.height + (series.size() > 1 ? 10 : 0);
  const double bottom = height - kBottom;
  const Frame frame = {*range, top, bottom};
  AppendAxes(frame, options, &svg);
  svg += absl::StrFormat("<svg x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" viewBox=\"%g %g %g %g\">", kLeft, top - 4,
                         kWidth - kLeft - kRight, bottom - top + 8, kLeft, top - 4, kWidth - kLeft - kRight,
                         bottom - top + 8);
  for (size_t i = 0; i < series.size(); ++i) AppendSeries(series[i], LineStyle(i), frame, options, &svg);
  svg += "</svg>";
  if (series.size() > 1) AppendLegend(series, legend, &svg);
  return svg + "</svg>";
}

}  // namespace trireme

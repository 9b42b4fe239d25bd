#include "tools/report/chart.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace trireme {
namespace {

constexpr double kWidth = 560, kHeight = 300;
constexpr double kLeft = 56, kRight = 14, kTop = 34, kBottom = 42;
constexpr size_t kMaxPoints = 500;
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

using Points = std::vector<std::pair<double, double>>;

Points Thin(const Points& points) {
  if (points.size() <= kMaxPoints) return points;
  Points thin;
  for (size_t bucket = 0; bucket < kMaxPoints; ++bucket) {
    const size_t begin = points.size() * bucket / kMaxPoints, end = points.size() * (bucket + 1) / kMaxPoints;
    double x = 0, y = 0;
    for (size_t i = begin; i < end; ++i) {
      x += points[i].first;
      y += points[i].second;
    }
    thin.emplace_back(x / static_cast<double>(end - begin), y / static_cast<double>(end - begin));
  }
  return thin;
}

// A running mean over a thirtieth of the series on both sides.
Points Smooth(const Points& points) {
  const int64_t reach = std::max<int64_t>(1, static_cast<int64_t>(points.size()) / 30);
  Points smooth;
  for (int64_t i = 0; i < static_cast<int64_t>(points.size()); ++i) {
    const int64_t begin = std::max<int64_t>(0, i - reach);
    const int64_t end = std::min<int64_t>(static_cast<int64_t>(points.size()), i + reach + 1);
    double sum = 0;
    for (int64_t j = begin; j < end; ++j) sum += points[static_cast<size_t>(j)].second;
    smooth.emplace_back(points[static_cast<size_t>(i)].first, sum / static_cast<double>(end - begin));
  }
  return smooth;
}

std::string Number(double value) {
  if (value != 0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e6)) return absl::StrFormat("%.1e", value);
  return absl::StrFormat("%.6g", value);
}

class Frame {
 public:
  // The plot lies between `top` and `bottom`.
  Frame(double x0, double x1, double y0, double y1, double top, double bottom)
      : x0_(x0), x1_(x1), y0_(y0), y1_(y1), top_(top), bottom_(bottom) {}
  double X(double x) const { return kLeft + (x - x0_) / (x1_ - x0_) * (kWidth - kLeft - kRight); }
  double Y(double y) const { return bottom_ - (y - y0_) / (y1_ - y0_) * (bottom_ - top_); }

 private:
  double x0_, x1_, y0_, y1_, top_, bottom_;
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

std::string Path(const Points& points, const Frame& frame) {
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

}  // namespace

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::vector<double> RoundTicks(double low, double high, int count) {
  const double raw = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * 0.999) {
      step = factor * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (int64_t i = static_cast<int64_t>(std::ceil(low / step - 1e-9));
       static_cast<double>(i) * step <= high + step * 1e-9; ++i) {
    ticks.push_back(static_cast<double>(i) * step);
  }
  return ticks;
}

std::string LineChart(const std::vector<ChartSeries>& series, const ChartOptions& options) {
  // Charts of one run stand beside each other, so all begin at step 0.
  double x0 = options.x_from_zero ? 0 : HUGE_VAL, x1 = -HUGE_VAL, y0 = HUGE_VAL, y1 = -HUGE_VAL;
  std::vector<double> values;
  for (const ChartSeries& one : series) {
    for (const auto& [x, y] : one.points) {
      if (!std::isfinite(y)) continue;
      x0 = std::min(x0, x);
      x1 = std::max(x1, x);
      values.push_back(y);
    }
    for (const auto& [low, high] : one.spread) {
      if (std::isfinite(low) && std::isfinite(high)) values.insert(values.end(), {low, high});
    }
  }
  // What the legend takes is added to the height, so that the plot keeps its own.
  const Legend legend(series);
  const double height = kHeight + legend.height;
  std::string svg = absl::StrFormat(
      "<svg class=\"chart\" viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">"
      "<text class=\"title\" x=\"%g\" y=\"18\">%s</text>",
      kWidth, height, EscapeHtml(options.title), kLeft, EscapeHtml(options.title));
  if (values.empty()) {
    return absl::StrCat(svg, absl::StrFormat("<text x=\"%g\" y=\"%g\">no data yet</text></svg>", kLeft, height / 2));
  }
  std::sort(values.begin(), values.end());
  y0 = values.front();
  // The first steps of a training may be far above all others; the top hundredth may leave the frame.
  y1 = options.smooth && values.size() > 200 ? std::min(values.back(), 1.15 * values[values.size() * 99 / 100])
                                             : values.back();
  if (options.y_from_zero) y0 = std::min(y0, 0.0);
  if (options.y_to != 0) y1 = options.y_to;
  if (x1 <= x0) x1 = x0 + 1;
  if (options.x_integers) {
    const double margin = 0.06 * (x1 - x0);
    x0 -= margin;
    x1 += margin;
  }
  if (y1 <= y0) y1 = y0 + std::max(1e-12, std::abs(y0) * 0.1);
  const double top = kTop + legend.height + (series.size() > 1 ? 10 : 0);
  const double bottom = height - kBottom;
  const Frame frame(x0, x1, y0, y1, top, bottom);

  for (double tick : RoundTicks(y0, y1, 5)) {
    absl::StrAppendFormat(&svg,
                          "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                          "<text class=\"tick\" text-anchor=\"end\" x=\"%g\" y=\"%.1f\">%s</text>",
                          kLeft, kWidth - kRight, frame.Y(tick), frame.Y(tick), kLeft - 6, frame.Y(tick) + 3.5,
                          Number(tick));
  }
  for (double tick : RoundTicks(x0, x1, 6)) {
    if (options.x_integers && tick != std::round(tick)) continue;
    absl::StrAppendFormat(&svg, "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%g\">%s</text>",
                          frame.X(tick), bottom + 16, Number(tick));
  }
  absl::StrAppendFormat(&svg, "<text class=\"tick\" text-anchor=\"middle\" x=\"%g\" y=\"%g\">%s</text>",
                        (kLeft + kWidth - kRight) / 2, height - 8, EscapeHtml(options.x_label));
  absl::StrAppendFormat(&svg, "<text class=\"tick\" text-anchor=\"end\" x=\"%g\" y=\"18\">%s</text>", kWidth - kRight,
                        EscapeHtml(options.y_label));

  svg += absl::StrFormat("<svg x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" viewBox=\"%g %g %g %g\">", kLeft, top - 4,
                         kWidth - kLeft - kRight, bottom - top + 8, kLeft, top - 4, kWidth - kLeft - kRight,
                         bottom - top + 8);
  size_t index = 0;
  for (const ChartSeries& one : series) {
    const LineStyle style(index++);
    const char* colour = style.colour;
    const Points points = Thin(one.points);
    const bool smooth = options.smooth && points.size() > 20;
    if (smooth) {
      absl::StrAppendFormat(&svg, "<path class=\"line\" stroke=\"%s\" opacity=\"0.25\" d=\"%s\"/>", colour,
                            Path(points, frame));
    }
    absl::StrAppendFormat(&svg, "<path class=\"line\" stroke=\"%s\"%s d=\"%s\"/>", colour, style.dashes,
                          Path(smooth ? Smooth(points) : points, frame));
    for (size_t i = 0; i < one.spread.size(); ++i) {
      const auto& [low, high] = one.spread[i];
      if (!std::isfinite(low) || !std::isfinite(high)) continue;
      const double x = frame.X(one.points[i].first);
      absl::StrAppendFormat(&svg,
                            "<line stroke=\"%s\" opacity=\"0.6\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                            colour, x, x, frame.Y(low), frame.Y(high));
    }
    // Invisible dots carry the hover text where they are not shown.
    const bool sparse = one.markers || points.size() <= 2;
    for (const auto& [x, y] : points) {
      if (!std::isfinite(y)) continue;
      absl::StrAppendFormat(
          &svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\"%s><title>%s: %s at %s %s</title></circle>",
          frame.X(x), frame.Y(y), sparse ? 3 : 4, colour, sparse ? "" : " fill-opacity=\"0\"", EscapeHtml(one.name),
          Number(y), EscapeHtml(options.x_label), Number(std::round(x)));
    }
  }
  svg += "</svg>";
  for (size_t i = 0; i < series.size() && series.size() > 1; ++i) {
    const auto& [x, y] = legend.places[i];
    const LineStyle style(i);
    absl::StrAppendFormat(&svg,
                          "<line class=\"line\" stroke=\"%s\"%s x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>"
                          "<text class=\"tick\" x=\"%.1f\" y=\"%g\">%s</text>",
                          style.colour, style.dashes, x - 7, x + 10, y - 0.5, y - 0.5, x + 14, y + 3,
                          EscapeHtml(series[i].name));
  }
  return svg + "</svg>";
}

}  // namespace trireme

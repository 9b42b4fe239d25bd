#include "tools/report/chart_data.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace trireme {
namespace {

constexpr size_t kMaxPoints = 500;

}  // namespace

ChartPoints Thin(const ChartPoints& points) {
  if (points.size() <= kMaxPoints) return points;
  ChartPoints thin;
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

ChartPoints Smooth(const ChartPoints& points) {
  const int64_t reach = std::max<int64_t>(1, static_cast<int64_t>(points.size()) / 30);
  ChartPoints smooth;
  for (int64_t i = 0; i < static_cast<int64_t>(points.size()); ++i) {
    const int64_t begin = std::max<int64_t>(0, i - reach);
    const int64_t end = std::min<int64_t>(static_cast<int64_t>(points.size()), i + reach + 1);
    double sum = 0;
    for (int64_t j = begin; j < end; ++j) sum += points[static_cast<size_t>(j)].second;
    smooth.emplace_back(points[static_cast<size_t>(i)].first, sum / static_cast<double>(end - begin));
  }
  return smooth;
}

std::optional<ChartRange> RangeOf(const std::vector<ChartSeries>& series, const ChartOptions& options) {
  // Charts of one run stand beside each other, so all begin at step 0.
  double x0 = options.x_from_zero ? 0 : HUGE_VAL, x1 = -HUGE_VAL;
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
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  double y0 = values.front();
  // The first steps of a training may be far above all others; the top hundredth may leave the frame.
  double y1 = options.smooth && values.size() > 200 ? std::min(values.back(), 1.15 * values[values.size() * 99 / 100])
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
  return ChartRange{x0, x1, y0, y1};
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

}  // namespace trireme

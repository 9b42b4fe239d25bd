// What of a chart's data is drawn, and between which ends.
#ifndef TRIREME_TOOLS_REPORT_CHART_DATA_H_
#define TRIREME_TOOLS_REPORT_CHART_DATA_H_

#include <optional>
#include <vector>

#include "tools/report/chart.h"

namespace trireme {

// Of more than 500 points, which are more than a chart's width can show, means of neighbours.
ChartPoints Thin(const ChartPoints& points);

// A running mean over a thirtieth of the series on both sides.
ChartPoints Smooth(const ChartPoints& points);

struct ChartRange {
  double x0 = 0, x1 = 0, y0 = 0, y1 = 0;
};
// Neither side is empty. Nothing where no series has a point.
std::optional<ChartRange> RangeOf(const std::vector<ChartSeries>& series, const ChartOptions& options);

// Ticks that divide [low, high] into about `count` steps of 1, 2 or 5 times a power of ten.
std::vector<double> RoundTicks(double low, double high, int count);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_CHART_DATA_H_

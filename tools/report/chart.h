// Line charts as self-contained SVG: axes with round ticks, a legend, and values on hover.
#ifndef TRIREME_TOOLS_REPORT_CHART_H_
#define TRIREME_TOOLS_REPORT_CHART_H_

#include <string>
#include <utility>
#include <vector>

namespace trireme {

using ChartPoints = std::vector<std::pair<double, double>>;

struct ChartSeries {
  std::string name;
  ChartPoints points;                             // x increases; points that are not finite leave a gap
  bool markers = false;                           // a dot at every point, for few points
  std::vector<std::pair<double, double>> spread;  // empty, or for each point the ends of a line through it
};

struct ChartOptions {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool x_from_zero = true;
  bool y_from_zero = true;
  bool x_integers = false;  // no ticks between whole numbers
  double y_to = 0;          // the upper end; 0 fits the data
  bool smooth = false;      // a running mean in full colour over the raw line in a pale one
};

// `<svg>...</svg>`; says "no data yet" if no series has a point. Long series are thinned to what the width can show.
std::string LineChart(const std::vector<ChartSeries>& series, const ChartOptions& options);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_CHART_H_

// Horizontal bars, stacked of parts of one unit, as HTML for pages with page_style.h; values on hover.
#ifndef TRIREME_TOOLS_REPORT_BARS_H_
#define TRIREME_TOOLS_REPORT_BARS_H_

#include <string>
#include <vector>

namespace trireme {

struct BarPart {
  std::string name;
  const char* colour = "";
  double value = 0;
};

// All bars have the same parts in the same order.
struct Bar {
  std::string name;
  std::vector<BarPart> parts;
};

// Empty if there is nothing to show.
std::string BarChart(const std::string& title, const std::string& unit, const std::vector<Bar>& bars);

}  // namespace trireme

#endif  // TRIREME_TOOLS_REPORT_BARS_H_

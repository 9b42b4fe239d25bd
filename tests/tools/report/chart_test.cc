#include "tools/report/chart.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tools/report/chart_data.h"
#include "tools/report/escape_html.h"

namespace trireme {
namespace {

std::vector<ChartSeries> Lines(int count) {
  std::vector<ChartSeries> series;
  for (int i = 0; i < count; ++i) {
    series.push_back({absl::StrCat("strategy number ", i), {{0, 1.0 + i}, {1, 2.0 + i}}, false, {}});
  }
  return series;
}

double HeightOf(const std::string& svg) {
  double width = 0, height = 0;
  EXPECT_EQ(std::sscanf(svg.c_str(), "<svg class=\"chart\" viewBox=\"0 0 %lf %lf\"", &width, &height), 2) << svg;
  return height;
}

// The attributes of all paths of the kind that series are drawn with, up to what they are drawn along.
std::set<std::string> StylesOf(const std::string& svg) {
  std::set<std::string> styles;
  const std::string begin = "<path class=\"line\" ", end = " d=";
  for (size_t at = svg.find(begin); at != std::string::npos; at = svg.find(begin, at + 1)) {
    styles.insert(svg.substr(at + begin.size(), svg.find(end, at) - at - begin.size()));
  }
  return styles;
}

TEST(LineChart, GivesEachSeriesAStyleOfItsOwn) {
  for (const int count : {1, 8, 9, 20}) {
    EXPECT_EQ(StylesOf(LineChart(Lines(count), ChartOptions())).size(), static_cast<size_t>(count)) << count;
  }
}

TEST(LineChart, GrowsWithItsLegend) {
  const double two = HeightOf(LineChart(Lines(2), ChartOptions()));
  EXPECT_EQ(HeightOf(LineChart(Lines(1), ChartOptions())), two);
  EXPECT_GT(HeightOf(LineChart(Lines(20), ChartOptions())), two + 50);
}

TEST(LineChart, SaysThatThereIsNoData) {
  EXPECT_NE(LineChart({}, ChartOptions()).find("no data yet"), std::string::npos);
}

TEST(RoundTicks, DivideTheRangeRoundly) {
  EXPECT_EQ(RoundTicks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(RoundTicks(-1, 1, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
}

TEST(EscapeHtml, LeavesNothingThatHtmlReads) {
  EXPECT_EQ(EscapeHtml("<a b=\"c\">&"), "&lt;a b=&quot;c&quot;&gt;&amp;");
}

}  // namespace
}  // namespace trireme

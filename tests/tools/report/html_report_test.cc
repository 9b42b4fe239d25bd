#include "tools/report/html_report.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

// The chart of this title, from there to where its plot ends.
std::string Chart(const std::string& page, const std::string& title) {
  const size_t begin = page.find(">" + title + "</text>");
  return begin == std::string::npos ? "" : page.substr(begin, page.find("</svg>", begin) - begin);
}

// Whether it has a point of this series, by what a mouse over it tells.
bool Shows(const std::string& chart, const std::string& point) {
  return chart.find("<title>" + point + "<") != std::string::npos;
}

// A model's losses may have any names, and an event fields that the report does not know.
TEST(HtmlReportTest, LossesAreTheOnesThatSayTheyAre) {
  const testing::TemporaryFolder run;
  std::string events = "{\"event\":\"start\",\"step\":0,\"global_batch_size\":4}\n";
  for (int step = 1; step <= 3; ++step) {
    absl::StrAppend(&events, "{\"event\":\"step\",\"step\":", step,
                    ",\"loss\":12,\"losses\":{\"lr\":5,\"step\":7,\"images_per_second\":0},\"lr\":0.125,"
                    "\"images_per_second\":8,\"temperature\":40}\n");
  }
  run.Write("metrics.jsonl", events + "{\"event\":\"end\",\"step\":3,\"status\":\"done\"}\n");
  run.Write("config.pbtxt", "steps: 3\n");
  const FaultLog faults;
  ASSERT_TRUE(WriteHtmlReport(run.path(), "a run", faults, run / "report.html").ok());
  const std::string page = *ReadFile(run / "report.html");
  const std::string losses = Chart(page, "Losses");
  for (const char* point :
       {"loss: 12 at step 2", "lr: 5 at step 2", "step: 7 at step 2", "images_per_second: 0 at step 2"}) {
    EXPECT_TRUE(Shows(losses, point)) << point << " is not in " << losses;
  }
  EXPECT_EQ(losses.find("temperature"), std::string::npos);
  // The fields of the same names are the event's.
  EXPECT_NE(page.find("<b>8.0</b><span>images/s"), std::string::npos);
  EXPECT_TRUE(Shows(Chart(page, "Learning rate"), "lr: 0.125 at step 2")) << Chart(page, "Learning rate");
  EXPECT_EQ(page.find("could not be written"), std::string::npos);
}

// What is not finite is null in JSON.
TEST(HtmlReportTest, FieldsMayBeNullOrOfAnotherKind) {
  const testing::TemporaryFolder run;
  run.Write("metrics.jsonl",
            "{\"event\":\"start\",\"step\":0,\"workers\":\"x\",\"device\":5,\"global_batch_size\":null}\n"
            "{\"event\":\"step\",\"step\":1,\"loss\":null,\"losses\":[1],\"lr\":null,\"images_per_second\":null}\n"
            "{\"event\":\"step\",\"step\":2,\"loss\":3,\"losses\":\"x\",\"images_per_second\":\"x\"}\n"
            "{\"event\":\"skip\",\"step\":3,\"why\":5}\n"
            "{\"event\":\"unreached\",\"step\":0,\"parameters\":[5]}\n"
            "{\"event\":\"eval\",\"step\":3,\"mAP\":null,\"mAP50\":0.25}\n"
            "{\"event\":\"end\",\"step\":3,\"seconds\":null,\"status\":[],\"lost_lines\":\"x\"}\n");
  run.Write("config.pbtxt", "steps: 3\n");
  const FaultLog faults;
  ASSERT_TRUE(WriteHtmlReport(run.path(), "a run", faults, run / "report.html").ok());
  const std::string page = *ReadFile(run / "report.html");
  EXPECT_NE(page.find("<b>0.250</b><span>mAP50"), std::string::npos);
  EXPECT_TRUE(Shows(Chart(page, "Losses"), "loss: 3 at step 2")) << Chart(page, "Losses");
}

TEST(HtmlReportTest, ListsParametersWithoutAGradient) {
  const testing::TemporaryFolder run;
  run.Write("metrics.jsonl",
            "{\"event\":\"start\"}\n"
            "{\"event\":\"unreached\",\"step\":0,\"parameters\":[\"head.weight\",\"head.<b>\"]}\n");
  run.Write("config.pbtxt", "steps: 3\n");
  const FaultLog faults;
  ASSERT_TRUE(WriteHtmlReport(run.path(), "a run", faults, run / "report.html").ok());
  EXPECT_NE(ReadFile(run / "report.html")->find("<p>head.weight, head.&lt;b&gt;</p>"), std::string::npos);
}

TEST(HtmlReportTest, SaysHowManyLinesAreLost) {
  const testing::TemporaryFolder run;
  run.Write("metrics.jsonl", "{\"event\":\"start\"}\n{\"ev\n{\"event\":\"end\",\"lost_lines\":3}\n");
  run.Write("config.pbtxt", "steps: 3\n");
  const FaultLog faults;
  ASSERT_TRUE(WriteHtmlReport(run.path(), "a run", faults, run / "report.html").ok());
  EXPECT_NE(ReadFile(run / "report.html")->find("3 lines of metrics.jsonl could not be"), std::string::npos);
}

}  // namespace
}  // namespace trireme

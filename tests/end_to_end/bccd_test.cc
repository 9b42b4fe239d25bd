// A short run on real photographs. TRIREME_BCCD names the folder of the data set; without it the test is skipped.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

TEST(Bccd, TrainsOnRealPhotographs) {
  const char* root = std::getenv("TRIREME_BCCD");
  if (root == nullptr) GTEST_SKIP() << "TRIREME_BCCD is not set";
  const std::string run = NewFolder("run");
  const ToolResult result =
      RunToolProcess("train", {"--config=ssd_bccd.pbtxt", "--out=" + run, "--steps=40", "--device=cpu", "--set",
                               std::string("train_data.root=") + root, "--set", std::string("eval_data.root=") + root});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  std::vector<double> losses;
  double map = -1;
  for (const auto& event : ReadEvents(run)) {
    if (event["event"] == "step") losses.push_back(event["loss"]);
    if (event["event"] == "eval") map = event["mAP50"];
    // Two boxes without area are known of.
    if (event["event"] == "end") {
      EXPECT_EQ(event["faults"]["box without area"], 2);
    }
  }
  ASSERT_EQ(losses.size(), 40u);
  EXPECT_LT(losses.back(), 0.6 * losses.front());
  EXPECT_GE(map, 0.0);
}

}  // namespace
}  // namespace trireme

#include "tools/trace/trace_options.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

TEST(TraceOptionsTest, LeftOutStepsAreThoseAfterTheFirstFewOfTheRun) {
  const auto options = MakeTraceOptions("t.json", "", 100, 1000);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->first_step, 105);
  EXPECT_EQ(options->end_step, 125);
}

// The same command starts a run and goes on with it.
TEST(TraceOptionsTest, OfStepsThatLieBehindARunThereIsWhatIsLeft) {
  const auto some = MakeTraceOptions("t.json", "5:25", 10, 1000);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->file, "t.json");
  EXPECT_EQ(some->first_step, 10);
  EXPECT_EQ(some->end_step, 25);
  for (const int64_t first : {25, 500}) {
    const auto none = MakeTraceOptions("t.json", "5:25", first, 1000);
    ASSERT_TRUE(none.ok()) << none.status();
    EXPECT_EQ(none->file, "") << "no trace";
  }
}

TEST(TraceOptionsTest, RefusesWhatIsNoRangeOfTheRun) {
  for (const char* steps : {"5", "5:", ":5", "a:b", "-1:5", "5:5", "6:5", "990:1001"}) {
    const Status status = MakeTraceOptions("t.json", steps, 0, 1000).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << steps;
  }
  EXPECT_FALSE(MakeTraceOptions("", "0:5", 0, 1000).ok()) << "nowhere to write";
}

}  // namespace
}  // namespace trireme

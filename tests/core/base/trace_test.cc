#include "core/base/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Names(const TraceTrack& track) {
  std::vector<std::string> names;
  for (const TraceEvent& event : track.events()) names.push_back(event.name);
  return names;
}

TEST(TraceTest, WithoutATraceNothingIsRecorded) {
  EXPECT_FALSE(IsTraced());
  TraceBeginStep(0);
  { const TraceSpan span(TraceKind::kStep, "step", 0); }
  TraceFunction("conv2d");
  EXPECT_EQ(TrackOfThisThread(), nullptr);
}

TEST(TraceTest, StepsOfTheWindowAreRecordedAndNoOthers) {
  const auto trace = std::make_shared<Trace>(0, 2, 4);
  EXPECT_TRUE(IsTraced());
  const TraceThread bound(trace, "worker");
  for (int64_t step = 0; step < 6; ++step) {
    TraceBeginStep(step);
    const TraceSpan span(TraceKind::kStep, "step", step);
  }
  const std::vector<TraceEvent> events = TrackOfThisThread()->events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].number, 2);
  EXPECT_EQ(events[1].number, 3);
  EXPECT_LE(events[0].begin, events[0].end);
  EXPECT_LE(events[0].end, events[1].begin);
}

TEST(TraceTest, AThreadRecordsForTheRankItIsBoundTo) {
  const auto first = std::make_shared<Trace>(0, 0, 1), second = std::make_shared<Trace>(1, 5, 6);
  const auto work = [](const std::shared_ptr<Trace>& trace, const char* name) {
    const TraceThread bound(trace, "worker");
    TraceBeginStep(0);
    const TraceSpan span(TraceKind::kStep, name);
  };
  std::thread one(work, first, "mine");
  one.join();
  // Rank 0 still records, rank 1 does not yet.
  std::thread other(work, second, "theirs");
  other.join();
  { const TraceSpan span(TraceKind::kStep, "of no worker"); }
  EXPECT_THAT(Names(*first->tracks()[0]), ElementsAre("mine"));
  EXPECT_THAT(Names(*second->tracks()[0]), IsEmpty());
}

TEST(TraceTest, FunctionsFillTheForwardPassWithoutOverlap) {
  const auto trace = std::make_shared<Trace>(0, 0, 1);
  const TraceThread bound(trace, "worker");
  TraceBeginStep(0);
  TraceFunction("outside");
  {
    const TraceSpan forward(TraceKind::kForward, "forward");
    TraceFunction("first");
    { const TraceSpan meeting(TraceKind::kCommunication, "AllReduce"); }
    TraceFunction("second");
    { const TraceSpan part(TraceKind::kForward, "part"); }
    TraceFunction("third");
  }
  TraceFunction("outside");
  const std::vector<TraceEvent> events = TrackOfThisThread()->events();
  EXPECT_THAT(Names(*TrackOfThisThread()), ElementsAre("first", "AllReduce", "second", "part", "third", "forward"));
  const TraceEvent &first = events[0], &meeting = events[1], &second = events[2], &part = events[3], &third = events[4],
                   &forward = events[5];
  EXPECT_EQ(first.begin, forward.begin);
  EXPECT_EQ(second.begin, first.end);
  EXPECT_GE(meeting.begin, second.begin);
  EXPECT_LE(meeting.end, second.end);
  EXPECT_EQ(third.begin, part.end);
  EXPECT_LE(third.end, forward.end);
}

TEST(TraceTest, ATrackIsBoundedAndCountsTheRest) {
  Trace trace(0, 0, 1);
  TraceTrack* track = trace.NewTrack("worker");
  for (size_t i = 0; i < TraceTrack::kMaxEvents + 3; ++i) track->Add({});
  EXPECT_EQ(track->events().size(), TraceTrack::kMaxEvents);
  EXPECT_EQ(track->num_left_out(), 3);
}

TEST(TraceTest, TracksHaveNamesOfTheirOwn) {
  Trace trace(0, 0, 1);
  EXPECT_EQ(trace.NewTrack("loader")->name(), "loader");
  EXPECT_EQ(trace.NewTrack("loader")->name(), "loader 2");
  EXPECT_EQ(trace.NewTrack("loader")->name(), "loader 3");
  const int key = 0;
  EXPECT_EQ(trace.TrackOf(&key, "device"), trace.TrackOf(&key, "device"));
}

TEST(TraceTest, ABindingEndsWithItsScope) {
  const auto outer = std::make_shared<Trace>(0, 0, 1);
  const TraceThread bound(outer, "worker");
  TraceTrack* const before = TrackOfThisThread();
  {
    const TraceThread inner(std::make_shared<Trace>(1, 0, 1), "other");
    EXPECT_NE(TrackOfThisThread(), before);
  }
  EXPECT_EQ(TrackOfThisThread(), before);
  EXPECT_EQ(TraceOfThisThread(), outer);
}

}  // namespace
}  // namespace trireme

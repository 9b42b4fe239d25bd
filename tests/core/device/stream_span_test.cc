#include "core/device/stream_span.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/core/testing/async_device.h"

namespace trireme {
namespace {

const TraceTrack* TrackNamed(const Trace& trace, const std::string& name) {
  for (const TraceTrack* track : trace.tracks()) {
    if (track->name() == name) return track;
  }
  return nullptr;
}

void Sleep() { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }

TEST(StreamSpanTest, OnAnInlineStreamItIsTheCallersSpan) {
  const auto device = *MakeDevice("cpu", 1);
  const auto trace = std::make_shared<Trace>(0, 0, 1);
  const TraceThread bound(trace, "worker");
  TraceBeginStep(0);
  { const StreamSpan span(device->compute_stream(), TraceKind::kCommunication, "AllReduce", -1, 8); }
  ASSERT_EQ(TrackOfThisThread()->events().size(), 1u);
  EXPECT_EQ(TrackOfThisThread()->events()[0].bytes, 8);
}

TEST(StreamSpanTest, OnAThreadsStreamItIsWhatTheThreadDid) {
  const auto device = *MakeDevice("cpu", 1);
  const auto trace = std::make_shared<Trace>(0, 0, 1);
  const TraceThread bound(trace, "worker");
  TraceBeginStep(0);
  const auto stream = device->NewStream("comm");
  {
    const StreamSpan span(*stream, TraceKind::kCommunication, "reduce bucket", 1);
    stream->Enqueue(Sleep);
  }
  stream->Synchronize();
  const TraceTrack* track = TrackNamed(*trace, "comm");
  ASSERT_NE(track, nullptr);
  ASSERT_EQ(track->events().size(), 1u);
  EXPECT_GE(track->events()[0].end - track->events()[0].begin, 2000000);
  EXPECT_TRUE(TrackOfThisThread()->events().empty());
}

TEST(StreamSpanTest, WithoutATraceNothingIsEnqueued) {
  const auto device = testing::MakeAsyncDevice();
  { const StreamSpan span(device->compute_stream(), TraceKind::kForward, "forward"); }
  EXPECT_EQ(device->pending(), 0);
}

// A recording's marks run with every launch, and tell of those launches only that are in the window.
TEST(StreamSpanTest, ARecordedStepTellsOfEachLaunch) {
  const auto device = testing::MakeAsyncDevice();
  const auto trace = std::make_shared<Trace>(0, 1, 3);
  const TraceThread bound(trace, "worker");
  Stream& compute = device->compute_stream();
  device->BeginCapture();
  {
    const StreamSpan span(compute, TraceKind::kForward, "forward");
    compute.Enqueue(Sleep);
  }
  const auto graph = device->EndCapture();
  for (int64_t step = 0; step < 4; ++step) {
    TraceBeginStep(step);
    graph->Launch();
    compute.Synchronize();
  }
  const TraceTrack* track = TrackNamed(*trace, "device");
  ASSERT_NE(track, nullptr);
  ASSERT_EQ(track->events().size(), 2u);
  for (const TraceEvent& event : track->events()) EXPECT_GE(event.end - event.begin, 2000000);
  EXPECT_LE(track->events()[0].end, track->events()[1].begin);
}

}  // namespace
}  // namespace trireme

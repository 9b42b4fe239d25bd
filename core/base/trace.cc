#include "core/base/trace.h"

#include <chrono>

namespace trireme {
namespace {

struct ThisThread {
  std::shared_ptr<Trace> trace;
  TraceTrack* track = nullptr;
  int forward_depth = 0;      // open spans of kForward
  int64_t function_from = 0;  // where the next function's span begins
};

ThisThread& Here() {
  thread_local ThisThread here;
  return here;
}

}  // namespace

namespace trace_internal {

std::atomic<int> num_recording{0};
std::atomic<int> num_traces{0};

void BeginStep(int64_t step) {
  if (Here().trace != nullptr) Here().trace->BeginStep(step);
}

void AddFunction(const char* name) {
  ThisThread& here = Here();
  if (here.forward_depth == 0) return;
  const int64_t now = TraceClock();
  here.track->Add({TraceKind::kForward, name, -1, -1, here.function_from, now});
  here.function_from = now;
}

}  // namespace trace_internal

const char* TraceKindName(TraceKind kind) {
  switch (kind) {
    case TraceKind::kStep:
      return "step";
    case TraceKind::kForward:
      return "forward";
    case TraceKind::kBackward:
      return "backward";
    case TraceKind::kUpdate:
      return "update";
    case TraceKind::kCommunication:
      return "communication";
    case TraceKind::kWait:
      return "wait";
    case TraceKind::kInput:
      return "input";
    case TraceKind::kEvaluation:
      return "evaluation";
    case TraceKind::kCheckpoint:
      return "checkpoint";
  }
  return "unknown";
}

void TraceTrack::Add(const TraceEvent& event) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (events_.size() < kMaxEvents) {
    events_.push_back(event);
  } else {
    ++num_left_out_;
  }
}

std::vector<TraceEvent> TraceTrack::events() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return events_;
}

int64_t TraceTrack::num_left_out() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return num_left_out_;
}

Trace::Trace(int rank, int64_t first_step, int64_t end_step)
    : rank_(rank), first_step_(first_step), end_step_(end_step) {
  trace_internal::num_traces.fetch_add(1, std::memory_order_relaxed);
}

Trace::~Trace() {
  Stop();
  trace_internal::num_traces.fetch_sub(1, std::memory_order_relaxed);
}

void Trace::BeginStep(int64_t step) { SetRecording(step >= first_step_ && step < end_step_); }

void Trace::Stop() { SetRecording(false); }

void Trace::SetRecording(bool recording) {
  if (recording_.exchange(recording, std::memory_order_relaxed) == recording) return;
  trace_internal::num_recording.fetch_add(recording ? 1 : -1, std::memory_order_relaxed);
}

TraceTrack* Trace::NewTrack(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  return NewTrackLocked(name);
}

TraceTrack* Trace::NewTrackLocked(const std::string& name) {
  std::string unique = name;
  for (int number = 2;; ++number) {
    bool taken = false;
    for (const TraceTrack& track : tracks_) taken = taken || track.name() == unique;
    if (!taken) break;
    unique = name + " " + std::to_string(number);
  }
  tracks_.emplace_back(unique);
  return &tracks_.back();
}

TraceTrack* Trace::TrackOf(const void* key, const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [other, track] : keyed_) {
    if (other == key) return track;
  }
  keyed_.emplace_back(key, NewTrackLocked(name));
  return keyed_.back().second;
}

std::vector<const TraceTrack*> Trace::tracks() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<const TraceTrack*> tracks;
  for (const TraceTrack& track : tracks_) tracks.push_back(&track);
  return tracks;
}

int64_t TraceClock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::shared_ptr<Trace> TraceOfThisThread() { return Here().trace; }

TraceTrack* TrackOfThisThread() { return Here().track; }

TraceThread::TraceThread(std::shared_ptr<Trace> trace, const std::string& name) : bound_(trace != nullptr) {
  if (!bound_) return;
  ThisThread& here = Here();
  trace_before_ = std::move(here.trace);
  track_before_ = here.track;
  here.track = trace->NewTrack(name);
  here.trace = std::move(trace);
}

TraceThread::~TraceThread() {
  if (!bound_) return;
  Here().trace = std::move(trace_before_);
  Here().track = track_before_;
}

void TraceSpan::Begin(const TraceEvent& event) {
  ThisThread& here = Here();
  if (here.trace == nullptr || !here.trace->recording()) return;
  track_ = here.track;
  event_ = event;
  event_.begin = TraceClock();
  if (event.kind != TraceKind::kForward) return;
  ++here.forward_depth;
  here.function_from = event_.begin;
}

void TraceSpan::End() {
  event_.end = TraceClock();
  track_->Add(event_);
  if (event_.kind != TraceKind::kForward) return;
  --Here().forward_depth;
  Here().function_from = event_.end;
}

}  // namespace trireme

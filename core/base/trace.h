// Where the time of a worker goes: spans on the tracks of one rank, for `--trace` (tools/trace writes them as Chrome's
// trace format). Anything may record a span; where nobody asked for a trace that costs one relaxed load.
//
//   TraceSpan span(TraceKind::kWait, "wait for data");
//
// A Trace is one rank's. The worker's thread is bound to it, and so is every thread that works for the worker (a
// stream's, the loader's), which has a track of its own. Spans are recorded from first_step on and before end_step; a
// track holds so many and counts the rest. Times are of std::chrono::steady_clock, which all processes of a host share.
//
// Thread-safe. Names have to live as long as the program.
#ifndef TRIREME_CORE_BASE_TRACE_H_
#define TRIREME_CORE_BASE_TRACE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace trireme {

enum class TraceKind {
  kStep,
  kForward,
  kBackward,
  kUpdate,
  kCommunication,
  kWait,
  kInput,
  kEvaluation,
  kCheckpoint,
};
const char* TraceKindName(TraceKind kind);

struct TraceEvent {
  TraceKind kind = TraceKind::kStep;
  const char* name = "";
  int64_t number = -1;  // of a step or a bucket; -1: none
  int64_t bytes = -1;   // that are moved; -1: not told
  int64_t begin = 0;    // nanoseconds
  int64_t end = 0;
};

// One row of a rank: what a thread, or a device's stream, did. Spans of a track do not overlap unless one holds the
// other.
class TraceTrack {
 public:
  static constexpr size_t kMaxEvents = size_t{1} << 16;

  explicit TraceTrack(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }
  void Add(const TraceEvent& event);
  std::vector<TraceEvent> events() const;
  int64_t num_left_out() const;

 private:
  const std::string name_;
  mutable std::mutex mutex_;
  std::vector<TraceEvent> events_;
  int64_t num_left_out_ = 0;
};

class Trace {
 public:
  Trace(int rank, int64_t first_step, int64_t end_step);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  int rank() const { return rank_; }
  bool recording() const { return recording_.load(std::memory_order_relaxed); }
  void BeginStep(int64_t step);
  void Stop();

  // The trace's own, to its end. A second one of a name is "name 2".
  TraceTrack* NewTrack(const std::string& name);
  // The one track of `key`, for what is no thread of ours.
  TraceTrack* TrackOf(const void* key, const std::string& name);
  std::vector<const TraceTrack*> tracks() const;

 private:
  TraceTrack* NewTrackLocked(const std::string& name);
  void SetRecording(bool recording);

  const int rank_;
  const int64_t first_step_, end_step_;
  std::atomic<bool> recording_{false};
  mutable std::mutex mutex_;
  std::deque<TraceTrack> tracks_;
  std::vector<std::pair<const void*, TraceTrack*>> keyed_;
};

int64_t TraceClock();

// The trace that the calling thread is bound to, or null; a thread hands it to those that it starts.
std::shared_ptr<Trace> TraceOfThisThread();
// The calling thread's track; null where it is not bound.
TraceTrack* TrackOfThisThread();

// Binds the calling thread for as long as it lives; does nothing for a null trace.
class TraceThread {
 public:
  TraceThread(std::shared_ptr<Trace> trace, const std::string& name);
  ~TraceThread();
  TraceThread(const TraceThread&) = delete;
  TraceThread& operator=(const TraceThread&) = delete;

 private:
  bool bound_ = false;
  std::shared_ptr<Trace> trace_before_;
  TraceTrack* track_before_ = nullptr;
};

namespace trace_internal {
extern std::atomic<int> num_recording;  // of this process's ranks
extern std::atomic<int> num_traces;
void BeginStep(int64_t step);
void AddFunction(const char* name);
}  // namespace trace_internal

// Whether this process traces at all, now or later.
inline bool IsTraced() { return trace_internal::num_traces.load(std::memory_order_relaxed) > 0; }

// The calling worker begins a step.
inline void TraceBeginStep(int64_t step) {
  if (IsTraced()) trace_internal::BeginStep(step);
}

// From its construction to its destruction, on the calling thread.
class TraceSpan {
 public:
  TraceSpan(TraceKind kind, const char* name, int64_t number = -1, int64_t bytes = -1) {
    if (trace_internal::num_recording.load(std::memory_order_relaxed) > 0) Begin({kind, name, number, bytes, 0, 0});
  }
  ~TraceSpan() {
    if (track_ != nullptr) End();
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  void Begin(const TraceEvent& event);
  void End();

  TraceTrack* track_ = nullptr;
  TraceEvent event_;
};

// A function of the forward pass has been recorded on the tape: a span that ends now, and began where the function or
// the span of kForward before it ended. Outside a span of kForward nothing is recorded.
inline void TraceFunction(const char* name) {
  if (trace_internal::num_recording.load(std::memory_order_relaxed) > 0) trace_internal::AddFunction(name);
}

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_TRACE_H_

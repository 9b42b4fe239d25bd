#include "core/device/stream_span.h"

namespace trireme {

struct StreamSpan::Marks {
  std::shared_ptr<Trace> trace;
  const void* stream = nullptr;
  const char* track_name = "";
  TraceEvent event;
  bool begun = false;

  void Begin() {
    begun = trace->recording();
    event.begin = TraceClock();
  }
  void End() {
    if (!begun) return;
    event.end = TraceClock();
    TraceTrack* track = TraceOfThisThread() == trace ? TrackOfThisThread() : trace->TrackOf(stream, track_name);
    track->Add(event);
  }
};

StreamSpan::StreamSpan(Stream& stream, TraceKind kind, const char* name, int64_t number, int64_t bytes)
    : stream_(stream) {
  if (!IsTraced()) return;
  if (stream.is_inline()) {
    inline_span_.emplace(kind, name, number, bytes);
    return;
  }
  std::shared_ptr<Trace> trace = TraceOfThisThread();
  if (trace == nullptr) return;
  marks_ = std::make_shared<Marks>();
  marks_->trace = std::move(trace);
  marks_->stream = &stream;
  marks_->track_name = &stream == &stream.device().compute_stream() ? "device" : "device, communication";
  marks_->event = {kind, name, number, bytes, 0, 0};
  stream_.Enqueue([marks = marks_] { marks->Begin(); });
}

StreamSpan::~StreamSpan() {
  if (marks_ == nullptr) return;
  // A stream that refuses has failed before, and has said so.
  CatchDeviceError([&] {
    stream_.Enqueue([marks = std::move(marks_)] { marks->End(); });
    return absl::OkStatus();
  }).IgnoreError();
}

}  // namespace trireme

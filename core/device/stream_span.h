// A span of what a stream does, where the calling thread only enqueues it: marks before and after in the stream's
// order, which read the clock when the stream comes to them. A recorded step's marks are part of the recording.
//
// On a thread's stream (CPU) the span is on that thread's track. On a device's it is on a track of the stream, and a
// mark is host work, for which the stream stops a few microseconds. On an inline stream it is a span of the calling
// thread. Where nobody asked for a trace nothing is enqueued.
#ifndef TRIREME_CORE_DEVICE_STREAM_SPAN_H_
#define TRIREME_CORE_DEVICE_STREAM_SPAN_H_

#include <memory>
#include <optional>

#include "core/base/trace.h"
#include "core/device/device.h"

namespace trireme {

class StreamSpan {
 public:
  StreamSpan(Stream& stream, TraceKind kind, const char* name, int64_t number = -1, int64_t bytes = -1);
  ~StreamSpan();
  StreamSpan(const StreamSpan&) = delete;
  StreamSpan& operator=(const StreamSpan&) = delete;

 private:
  struct Marks;

  std::optional<TraceSpan> inline_span_;
  Stream& stream_;
  std::shared_ptr<Marks> marks_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_STREAM_SPAN_H_

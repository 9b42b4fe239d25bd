#include "parallel/communicator/gloo/gloo_transfers.h"

#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/transport/unbound_buffer.h>

#include <algorithm>

#include "parallel/communicator/gloo/gloo_reduce.h"

namespace trireme {
namespace {

constexpr int64_t kSegmentBytes = 1 << 20;

// Gloo counts elements, and knows not what they are.
template <class Function>
void WithElementOf(int64_t size, const Function& function) {
  switch (size) {
    case 2:
      return function(uint16_t());
    case 4:
      return function(uint32_t());
    case 8:
      return function(uint64_t());
    default:
      return function(uint8_t());
  }
}

}  // namespace

void AllReduceByGloo(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor,
                     ReduceOperation operation) {
  gloo::AllreduceOptions options(channel.context());
  WithElementOf(SizeOf(tensor.type()), [&](auto element) {
    options.setOutput(static_cast<decltype(element)*>(tensor.raw()), static_cast<size_t>(tensor.size()));
  });
  options.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
  options.setReduceFunction(PairwiseReduction(tensor.type(), operation));
  options.setTag(call.tag());
  gloo::allreduce(options);
}

void AllGatherByGloo(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor) {
  gloo::AllgatherOptions options(channel.context());
  options.setOutput(static_cast<uint8_t*>(tensor.raw()), static_cast<size_t>(tensor.bytes()));
  options.setTag(call.tag());
  gloo::allgather(options);
}

void BroadcastByGloo(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor, int root) {
  gloo::BroadcastOptions options(channel.context());
  options.setOutput(static_cast<uint8_t*>(tensor.raw()), static_cast<size_t>(tensor.bytes()));
  options.setRoot(root);
  options.setTag(call.tag());
  gloo::broadcast(options);
}

void BarrierByGloo(const GlooChannel& channel, const GlooCall& call) {
  gloo::BarrierOptions options(channel.context());
  options.setTag(call.tag());
  gloo::barrier(options);
}

void ReduceScatterInRing(const GlooChannel& channel, const GlooCall& call, const Tensor& tensor,
                         ReduceOperation operation) {
  const int n = channel.size(), place = channel.place();
  const int left = (place + n - 1) % n, right = (place + 1) % n;
  const int64_t element = SizeOf(tensor.type());
  const int64_t part = tensor.size() / n;
  // At least two, so that a segment is complete before it is passed on.
  const int64_t num_segments = std::max<int64_t>(2, (part * element + kSegmentBytes - 1) / kSegmentBytes);
  const int64_t segment = (part + num_segments - 1) / num_segments;
  struct Range {
    int64_t begin = 0, size = 0;  // elements
  };
  // Segment i of all that is passed on, counted through the ring's steps; of the part `back` places before this one.
  const auto range = [&](int64_t i, int back) {
    const int64_t step = i / num_segments, at = std::min(i % num_segments * segment, part);
    const int64_t of = (place + 2 * n - back - step % n) % n;
    return Range{of * part + at, std::min(segment, part - at)};
  };
  char* const memory = static_cast<char*>(tensor.raw());
  std::vector<char> scratch(static_cast<size_t>(2 * segment * element));
  const auto values = channel.context()->createUnboundBuffer(memory, static_cast<size_t>(tensor.bytes()));
  const auto incoming = channel.context()->createUnboundBuffer(scratch.data(), scratch.size());
  const ReduceFunction reduce = PairwiseReduction(tensor.type(), operation);
  const uint64_t slot = CallSlot(call.tag());
  const int64_t total = num_segments * (n - 1);
  for (int64_t i = 0; i < total + 2; ++i) {
    if (i >= 2) {
      const Range received = range(i - 2, 2), sent = range(i - 2, 1);
      if (received.size > 0) {
        incoming->waitRecv();
        char* const to = memory + received.begin * element;
        reduce(to, to, scratch.data() + i % 2 * segment * element, static_cast<size_t>(received.size));
      }
      if (sent.size > 0) values->waitSend();
    }
    if (i >= total) continue;
    const Range receive = range(i, 2), send = range(i, 1);
    if (receive.size > 0) {
      incoming->recv(left, slot, static_cast<size_t>(i % 2 * segment * element),
                     static_cast<size_t>(receive.size * element));
    }
    if (send.size > 0) {
      values->send(right, slot, static_cast<size_t>(send.begin * element), static_cast<size_t>(send.size * element));
    }
  }
}

void PassMessages(const GlooChannel& channel, const GlooCall& call, const Tensor& send, const Tensor& receive) {
  std::unique_ptr<gloo::transport::UnboundBuffer> incoming, outgoing;
  if (receive.defined()) {
    incoming = channel.context()->createUnboundBuffer(receive.raw(), static_cast<size_t>(receive.bytes()));
    incoming->recv(call.from, MessageSlot(call.receive_number, receive.bytes()));
  }
  if (send.defined()) {
    outgoing = channel.context()->createUnboundBuffer(send.raw(), static_cast<size_t>(send.bytes()));
    outgoing->send(call.to, MessageSlot(call.send_number, send.bytes()));
  }
  if (incoming != nullptr) incoming->waitRecv();
  if (outgoing != nullptr) outgoing->waitSend();
}

int NumBroadcastSends(int rank, int size, int root) {
  const int distance = (rank + size - root) % size;
  int sends = 0;
  for (int step = 1; step < size; step *= 2) {
    if (distance < step && distance + step < size) ++sends;
  }
  return sends;
}

}  // namespace trireme

#include "parallel/communicator/gloo/gloo_context.h"

#include <gloo/common/error.h>
#include <gloo/transport/context.h>
#include <gloo/transport/unbound_buffer.h>

#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

namespace trireme {
namespace {

using std::chrono::milliseconds;

// The buffers that somebody may be waiting on.
class LiveBuffers {
 public:
  void Add(gloo::transport::UnboundBuffer* buffer) {
    std::lock_guard<std::mutex> lock(mutex_);
    buffers_.insert(buffer);
  }

  void Remove(gloo::transport::UnboundBuffer* buffer) {
    std::lock_guard<std::mutex> lock(mutex_);
    buffers_.erase(buffer);
  }

  // A wait that begins after this ends at once, too.
  void EndWaits() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (gloo::transport::UnboundBuffer* buffer : buffers_) {
      buffer->abortWaitRecv();
      buffer->abortWaitSend();
    }
  }

 private:
  std::mutex mutex_;
  std::unordered_set<gloo::transport::UnboundBuffer*> buffers_;
};

class BreakableBuffer : public gloo::transport::UnboundBuffer {
 public:
  BreakableBuffer(std::unique_ptr<gloo::transport::UnboundBuffer> buffer, std::shared_ptr<LiveBuffers> live)
      : gloo::transport::UnboundBuffer(buffer->ptr, buffer->size), buffer_(std::move(buffer)), live_(std::move(live)) {
    live_->Add(buffer_.get());
  }
  ~BreakableBuffer() override { live_->Remove(buffer_.get()); }

  bool waitRecv(int* rank, milliseconds timeout) override { return OrThrow(buffer_->waitRecv(rank, timeout)); }
  bool waitSend(int* rank, milliseconds timeout) override { return OrThrow(buffer_->waitSend(rank, timeout)); }
  void abortWaitRecv() override { buffer_->abortWaitRecv(); }
  void abortWaitSend() override { buffer_->abortWaitSend(); }
  void send(int to, uint64_t slot, size_t offset, size_t bytes) override { buffer_->send(to, slot, offset, bytes); }
  void recv(int from, uint64_t slot, size_t offset, size_t bytes) override { buffer_->recv(from, slot, offset, bytes); }
  void recv(std::vector<int> from, uint64_t slot, size_t offset, size_t bytes) override {
    buffer_->recv(std::move(from), slot, offset, bytes);
  }

 private:
  // Gloo's algorithms do not look at what a wait returns.
  static bool OrThrow(bool completed) {
    if (!completed) throw gloo::IoException("the wait was ended");
    return completed;
  }

  const std::unique_ptr<gloo::transport::UnboundBuffer> buffer_;
  const std::shared_ptr<LiveBuffers> live_;
};

}  // namespace

class BreakableTransport : public gloo::transport::Context {
 public:
  explicit BreakableTransport(std::shared_ptr<gloo::transport::Context> transport)
      : gloo::transport::Context(transport->rank, transport->size), transport_(std::move(transport)) {
    setTimeout(transport_->getTimeout());
  }

  std::unique_ptr<gloo::transport::Pair>& getPair(int rank) override { return transport_->getPair(rank); }
  std::unique_ptr<gloo::transport::Pair>& createPair(int rank) override { return transport_->createPair(rank); }
  std::unique_ptr<gloo::transport::UnboundBuffer> createUnboundBuffer(void* memory, size_t size) override {
    return std::make_unique<BreakableBuffer>(transport_->createUnboundBuffer(memory, size), live_);
  }

  void Break() {
    // Gloo closes all connections of a context in which somebody has waited in vain.
    char nothing = 0;
    try {
      transport_->createUnboundBuffer(&nothing, 1)->waitRecv(milliseconds(1));
    } catch (const std::exception&) {
    }
    live_->EndWaits();
  }

 private:
  const std::shared_ptr<gloo::transport::Context> transport_;
  const std::shared_ptr<LiveBuffers> live_ = std::make_shared<LiveBuffers>();
};

GlooContext::GlooContext(const std::shared_ptr<gloo::transport::Device>& device, int place, int size,
                         milliseconds timeout)
    : gloo::Context(place, size) {
  setTimeout(timeout);
  device_ = device;
  const std::shared_ptr<gloo::transport::Context> transport = device->createContext(place, size);
  transport->setTimeout(timeout);
  transport_ = std::make_shared<BreakableTransport>(transport);
  transportContext_ = transport_;
}

gloo::transport::Pair& GlooContext::NewPair(int place) { return *transport_->createPair(place); }

void GlooContext::Break() { transport_->Break(); }

}  // namespace trireme

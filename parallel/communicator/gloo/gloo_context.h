// A Gloo context whose pairs we connect ourselves, and whose waits can be ended from elsewhere.
//
// Gloo 2022 does not wake who waits for a message of which a part has been moved when its connection ends: that wait
// lasts until the context's own deadline. So buffers made here are known to the context, which wakes all of them.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CONTEXT_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CONTEXT_H_

#include <gloo/context.h>
#include <gloo/transport/device.h>
#include <gloo/transport/pair.h>

#include <chrono>
#include <memory>

namespace trireme {

class BreakableTransport;

class GlooContext : public gloo::Context {
 public:
  GlooContext(const std::shared_ptr<gloo::transport::Device>& device, int place, int size,
              std::chrono::milliseconds timeout);

  // Listens. The context's own.
  gloo::transport::Pair& NewPair(int place);

  // Closes all connections. Whoever waits on a buffer of this context, and whoever will, gets an exception. From any
  // thread.
  void Break();

 private:
  std::shared_ptr<BreakableTransport> transport_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CONTEXT_H_

// What every differentiable function is told about the step it runs in.
#ifndef TRIREME_CORE_AUTOGRAD_CONTEXT_H_
#define TRIREME_CORE_AUTOGRAD_CONTEXT_H_

#include <cstdint>

#include "core/device/device.h"

namespace trireme {

class Communicator;
class Tape;

// Cheap to make; one a step. Points to things that outlive the step. Used by the worker's own thread.
struct Context {
  explicit Context(Device& d) : device(d) {}

  Device& device;
  // Records what is done, for Backward; null for inference.
  Tape* tape = nullptr;
  // Batch statistics instead of running ones.
  bool training = false;
  // For what depends on the whole batch (synchronised norm, losses' normalisers); runs on the compute
  // stream. Null for a worker that is alone.
  Communicator* communicator = nullptr;
  uint64_t seed = 0;
  int64_t step = 0;

  Stream& stream() const { return device.compute_stream(); }
};

}  // namespace trireme

#endif  // TRIREME_CORE_AUTOGRAD_CONTEXT_H_

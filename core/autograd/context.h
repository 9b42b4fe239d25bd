// What every differentiable function is told about the step it runs in.
#ifndef TRIREME_CORE_AUTOGRAD_CONTEXT_H_
#define TRIREME_CORE_AUTOGRAD_CONTEXT_H_

#include <cstdint>

#include "core/device/device.h"
#include "core/tensor/tensor.h"

namespace trireme {

class Communicator;
class Tape;

// What a step computes in. Weights are kept and updated in float32 whatever it is, and losses are computed in float32.
enum class Precision {
  kFloat32,
  kTf32,      // float32 in memory; matrix units of GPUs may round operands to 10 bits
  kBfloat16,  // activations and their gradients, and what matrix products and convolutions read, in 16 bits
  kFloat16,   // the same; gradients need a scaled loss
};

// The element type of activations.
inline DataType ActivationType(Precision precision) {
  if (precision == Precision::kBfloat16) return DataType::kBfloat16;
  return precision == Precision::kFloat16 ? DataType::kFloat16 : DataType::kFloat32;
}

// Cheap to make; one a step. Points to things that outlive the step. Used by the worker's own thread.
struct Context {
  explicit Context(Device& d) : device(d) {}

  Device& device;
  // Records what is done, for Backward; null for inference.
  Tape* tape = nullptr;
  // Batch statistics instead of running ones.
  bool training = false;
  Precision precision = Precision::kFloat32;
  // For what depends on the whole batch (synchronised norm, losses' normalisers); runs on the compute
  // stream. Null for a worker that is alone.
  Communicator* communicator = nullptr;
  uint64_t seed = 0;
  int64_t step = 0;

  Stream& stream() const { return device.compute_stream(); }
};

}  // namespace trireme

#endif  // TRIREME_CORE_AUTOGRAD_CONTEXT_H_

// What to say when a training step does not fit into the device's memory, beside who took it: a batch size that would
// fit.
//
// The batch size is measured: the forward and backward pass run with one and with two images, which gives the line that
// activations follow, and then with as many as should fit, fewer until they do. That takes as long as a few steps, and
// leaves gradients and running statistics in disorder: it is for a run that is over.
#ifndef TRIREME_CORE_TRAIN_MEMORY_ADVICE_H_
#define TRIREME_CORE_TRAIN_MEMORY_ADVICE_H_

#include "core/api/batch.h"
#include "core/api/detector.h"
#include "core/nn/parameter_arena.h"

namespace trireme {

struct MemoryTrial {
  Device* device = nullptr;
  Detector* detector = nullptr;
  const ParameterArena* arena = nullptr;
  Precision precision = Precision::kFloat32;
  const Batch* batch = nullptr;  // this worker's, which did not fit
  int workers = 1;
  int accumulate_steps = 1;  // batches in a step
};

// `fault`, with this said behind it. What the failed step took has been freed. Not collective: a worker that runs out
// of memory is on its own. Throws nothing.
Status AdviseOnMemory(const Status& fault, const MemoryTrial& trial);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_MEMORY_ADVICE_H_

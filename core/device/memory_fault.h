// The sentence for a device that has no more memory.
#ifndef TRIREME_CORE_DEVICE_MEMORY_FAULT_H_
#define TRIREME_CORE_DEVICE_MEMORY_FAULT_H_

#include <string>

#include "core/device/device.h"

namespace trireme {

struct MemoryRequest {
  std::string device;  // its name
  size_t bytes = 0;
  MemoryKind kind = MemoryKind::kActivations;
  int64_t free = -1;  // bytes that the system says are free, and has in all; -1: not known
  int64_t total = -1;
};

// ResourceExhausted: what could not be had, what holds the memory (the largest kinds first), what is free, what to do.
Status OutOfMemory(const MemoryRequest& request, const MemoryStats& stats);

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_MEMORY_FAULT_H_

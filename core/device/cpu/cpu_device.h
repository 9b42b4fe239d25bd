// The CPU as a device: a worker's share of the cores and a pool of memory.
#ifndef TRIREME_CORE_DEVICE_CPU_CPU_DEVICE_H_
#define TRIREME_CORE_DEVICE_CPU_CPU_DEVICE_H_

#include <memory>

#include "core/device/device.h"

namespace trireme {

// `threads` > 0: the size of the OpenMP team that kernels and oneDNN use for this worker.
std::unique_ptr<Device> MakeCpuDevice(int threads, int64_t memory_limit = 0);

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_CPU_CPU_DEVICE_H_

// A CUDA device. In a build without CUDA the functions exist and say so.
#ifndef TRIREME_CORE_DEVICE_CUDA_CUDA_DEVICE_H_
#define TRIREME_CORE_DEVICE_CUDA_CUDA_DEVICE_H_

#include <cstdint>
#include <memory>

#include "core/device/device.h"

namespace trireme {

// Devices that this build can use; 0 without CUDA, without a driver, or without a device.
int CudaDeviceCount();

// FailedPrecondition, saying what to change, if the build has no CUDA, the machine no driver or a driver
// too old, there is no device `index`, or the build holds no code for it. Of `options`, what is said of memory counts.
// ResourceExhausted if memory_at_start is more than there is.
StatusOr<std::unique_ptr<Device>> MakeCudaDevice(int index, const DeviceOptions& options = {});

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_CUDA_CUDA_DEVICE_H_

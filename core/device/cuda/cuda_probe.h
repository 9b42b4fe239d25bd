// Which CUDA devices can be used, and if one cannot, why. Only in a CUDA build.
#ifndef TRIREME_CORE_DEVICE_CUDA_CUDA_PROBE_H_
#define TRIREME_CORE_DEVICE_CUDA_CUDA_PROBE_H_

#ifdef TRIREME_CUDA

#include <cuda_runtime_api.h>

#include "core/base/status.h"

namespace trireme {

// What cudaGetDeviceCount, cudaDriverGetVersion and cudaRuntimeGetVersion have answered.
struct CudaInventory {
  cudaError_t error = cudaSuccess;
  int count = 0;
  int driver_version = 0;   // 13000 is CUDA 13.0; 0: there is no driver
  int runtime_version = 0;  // that this build was made with
};

CudaInventory TakeCudaInventory();

// FailedPrecondition, saying what to change, unless there is a device `index`. Pure.
Status CheckInventory(const CudaInventory& inventory, int index);

// Chooses the device for this thread, starts it, and sees whether it can run this build's kernels.
Status StartCudaDevice(int index);

}  // namespace trireme

#endif  // TRIREME_CUDA

#endif  // TRIREME_CORE_DEVICE_CUDA_CUDA_PROBE_H_

#include "core/device/cuda/cuda_probe.h"

#ifdef TRIREME_CUDA

#include <cuda_runtime.h>

#include "core/device/cuda/cuda_error.h"

namespace trireme {
namespace {

__global__ void Probe() {}

std::string Version(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }

}  // namespace

CudaInventory TakeCudaInventory() {
  CudaInventory inventory;
  inventory.error = cudaGetDeviceCount(&inventory.count);
  if (inventory.error != cudaSuccess) {
    inventory.count = 0;
    cudaGetLastError();
  }
  cudaDriverGetVersion(&inventory.driver_version);
  cudaRuntimeGetVersion(&inventory.runtime_version);
  return inventory;
}

Status CheckInventory(const CudaInventory& inventory, int index) {
  const std::string asked = absl::StrCat("cuda:", index);
  if (inventory.error == cudaErrorInsufficientDriver) {
    const std::string needed = absl::StrCat("this build needs one for CUDA ", Version(inventory.runtime_version));
    if (inventory.driver_version == 0) {
      return absl::FailedPreconditionError(absl::StrCat(asked, ": this machine has no NVIDIA driver, and ", needed,
                                                        "; install one or use --device=cpu"));
    }
    return absl::FailedPreconditionError(absl::StrCat(asked, ": the NVIDIA driver serves CUDA ",
                                                      Version(inventory.driver_version), ", and ", needed,
                                                      "; update the driver or use --device=cpu"));
  }
  if (inventory.error != cudaSuccess && inventory.error != cudaErrorNoDevice) {
    return Annotate(StatusOfCuda(inventory.error, "looking for devices", CudaPlace()), asked);
  }
  if (inventory.count == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        asked, ": this machine has no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device=cpu"));
  }
  if (index >= inventory.count) {
    return absl::FailedPreconditionError(
        inventory.count == 1
            ? absl::StrCat("there is no ", asked, "; this machine has cuda:0 only")
            : absl::StrCat("there is no ", asked, "; this machine has cuda:0 to cuda:", inventory.count - 1));
  }
  return absl::OkStatus();
}

Status StartCudaDevice(int index) {
  // A host that spins while it waits takes a core from the threads that decode images.
  cudaError_t error = cudaInitDevice(index, cudaDeviceScheduleBlockingSync, cudaInitDeviceFlagsAreValid);
  if (error == cudaSuccess) error = cudaSetDevice(index);
  cudaFuncAttributes attributes;
  if (error == cudaSuccess) error = cudaFuncGetAttributes(&attributes, Probe);
  if (error == cudaSuccess) {
    NoteThatCudaServes();
    return absl::OkStatus();
  }
  cudaGetLastError();
  CudaPlace place = CurrentCudaPlace();
  place.device = absl::StrCat("cuda:", index);
  return StatusOfCuda(error, "starting the device", place);
}

}  // namespace trireme

#endif  // TRIREME_CUDA

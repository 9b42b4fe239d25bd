// What CUDA and its libraries answer, as sentences. Only in a CUDA build.
//
// CheckCuda(cudaMemcpyAsync(...), "copying the batch"): OK goes on, anything else throws DeviceError. Destructors call
// nothing of this: after a fault that cannot be undone every call fails, and the next one outside says why.
#ifndef TRIREME_CORE_DEVICE_CUDA_CUDA_ERROR_H_
#define TRIREME_CORE_DEVICE_CUDA_CUDA_ERROR_H_

#ifdef TRIREME_CUDA

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <string>

#include "core/base/status.h"

namespace trireme {

// Where an error came up.
struct CudaPlace {
  std::string device;      // "cuda:0 NVIDIA H100"
  std::string capability;  // of the device: "9.0"
  std::string built_for;   // compute capabilities of this build: "9.0"
  bool served = false;     // this process has used a device before: it was there, and the driver would do
  std::string ignored;     // see IgnoredCode
};

// The calling thread's current device; as much of it as can still be asked.
CudaPlace CurrentCudaPlace();

// From now on places have `served`.
void NoteThatCudaServes();

// What the error means and what to change about it. `doing` says what failed ("copying the batch"). Pure.
//   ResourceExhausted   no memory
//   FailedPrecondition  no device, the driver, the build, or a rule of capture
//   Unavailable         the hardware, which may serve again after a restart
//   Internal            the rest: a kernel's fault, or a call's
Status StatusOfCuda(cudaError_t error, absl::string_view doing, const CudaPlace& place);
// `last_error`: what cudnnGetLastErrorString has to add, or empty. Pure.
Status StatusOfCudnn(cudnnStatus_t error, absl::string_view doing, absl::string_view last_error,
                     const CudaPlace& place);
Status StatusOfCublas(cublasStatus_t error, absl::string_view doing, const CudaPlace& place);

// "9.0, 10.0" of nvcc's list "900,1000".
std::string CapabilitiesOf(absl::string_view nvcc_arch_list);

// What of a program's code the driver ignores, by the values of its variables CUDA_FORCE_PTX_JIT and
// CUDA_DISABLE_PTX_JIT, which may be null: "its machine code (CUDA_FORCE_PTX_JIT=1)". Empty: nothing.
std::string IgnoredCode(const char* force_ptx_jit, const char* disable_ptx_jit);

// Throw DeviceError unless all went well. Where CUDA itself has a fault, a library's error is told as that.
void CheckCuda(cudaError_t error, absl::string_view doing);
void CheckCudnn(cudnnStatus_t error, absl::string_view doing);
void CheckCublas(cublasStatus_t error, absl::string_view doing);
// Where something failed that may have failed because of CUDA: asks for a fault of its own, and waits for the device.
void CheckForCudaFault(absl::string_view doing);

}  // namespace trireme

#endif  // TRIREME_CUDA

#endif  // TRIREME_CORE_DEVICE_CUDA_CUDA_ERROR_H_

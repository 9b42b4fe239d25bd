#include "core/device/cuda/cuda_error.h"

#ifdef TRIREME_CUDA

#include <atomic>
#include <cstdlib>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/device/device.h"

// nvcc's own list of what it compiles for.
#ifdef __CUDA_ARCH_LIST__
#define TRIREME_STRINGIZE_LIST(...) #__VA_ARGS__
#define TRIREME_STRINGIZE(...) TRIREME_STRINGIZE_LIST(__VA_ARGS__)
#define TRIREME_ARCH_LIST TRIREME_STRINGIZE(__CUDA_ARCH_LIST__)
#else
#define TRIREME_ARCH_LIST ""
#endif

namespace trireme {
namespace {

constexpr char kStartAgain[] =
    "this process cannot use the device any more; start it again, --resume goes on from the "
    "last checkpoint";

std::atomic<bool> serves{false};

// In words, where CUDA's own do not say what to do about it.
struct Meaning {
  absl::StatusCode code;
  std::string text;
};

Meaning Gone() {
  return {absl::StatusCode::kUnavailable,
          absl::StrCat("the device has failed or is gone; ", kStartAgain,
                       ", on another device if nvidia-smi or the system's log blame this one")};
}

// What says at the start that there is nothing to use says later that what was used is gone.
bool MeansGone(cudaError_t error) {
  switch (error) {
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorInitializationError:
    case cudaErrorSystemNotReady:
    case cudaErrorDevicesUnavailable:
      return true;
    default:
      return false;
  }
}

Meaning MeaningOf(cudaError_t error, const CudaPlace& place) {
  constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
  constexpr auto kInternal = absl::StatusCode::kInternal;
  constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
  if (place.served && MeansGone(error)) return Gone();
  switch (error) {
    case cudaErrorMemoryAllocation:
      return {absl::StatusCode::kResourceExhausted, "out of memory; lower the batch size or the image size"};
    case cudaErrorNoDevice:
      return {kPrecondition, "there is no CUDA device; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device=cpu"};
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      return {kPrecondition,
              "the NVIDIA driver is older than this build's CUDA; update the driver or use --device=cpu"};
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
      return {kPrecondition,
              absl::StrCat("the device has compute capability ", place.capability, ", and this build holds code for ",
                           place.built_for,
                           place.ignored.empty() ? "" : ", of which the environment has the driver ignore ",
                           place.ignored, place.ignored.empty() ? "" : "; unset that",
                           "; build for it with --config=cuda_all or on this machine, or use another device")};
    case cudaErrorInitializationError:
    case cudaErrorSystemNotReady:
    case cudaErrorDevicesUnavailable:
      return {kPrecondition, "the device is not ready or taken by another process; check nvidia-smi"};
    case cudaErrorStreamCaptureUnsupported:
    case cudaErrorStreamCaptureInvalidated:
    case cudaErrorStreamCaptureMerge:
    case cudaErrorStreamCaptureUnmatched:
    case cudaErrorStreamCaptureUnjoined:
    case cudaErrorStreamCaptureIsolation:
    case cudaErrorStreamCaptureImplicit:
    case cudaErrorCapturedEvent:
    case cudaErrorStreamCaptureWrongThread:
      return {kPrecondition, "that cannot be done while a step is captured as a CUDA graph"};
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
      return {kInternal, absl::StrCat("an earlier kernel failed; ", kStartAgain,
                                      ", and under compute-sanitizer the kernel has a name")};
    case cudaErrorLaunchTimeout:
      return {kInternal, absl::StrCat("a kernel ran for longer than a device with a display allows; ", kStartAgain)};
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorExternalDevice:
    case cudaErrorDeviceUninitialized:
    case cudaErrorContextIsDestroyed:
    case cudaErrorOperatingSystem:
    case cudaErrorUnknown:
      return Gone();
    case cudaErrorMpsClientTerminated:
      return {kUnavailable, absl::StrCat("the MPS server ended this process's use of the device; ", kStartAgain)};
    default:
      return {kInternal, ""};
  }
}

std::string On(const CudaPlace& place) { return place.device.empty() ? "" : absl::StrCat(" on ", place.device); }

// An error that CUDA remembers tells more than the one of the library that met it.
cudaError_t Remembered() {
  const cudaError_t error = cudaPeekAtLastError();
  if (error != cudaSuccess) return error;
  const cudaError_t pending = cudaDeviceSynchronize();
  const bool captures = pending >= cudaErrorStreamCaptureUnsupported && pending <= cudaErrorStreamCaptureWrongThread;
  return captures ? cudaSuccess : pending;  // a capture refuses the question
}

}  // namespace

std::string CapabilitiesOf(absl::string_view nvcc_arch_list) {
  std::vector<std::string> capabilities;
  for (const absl::string_view part : absl::StrSplit(nvcc_arch_list, absl::ByAnyChar(", "), absl::SkipEmpty())) {
    int arch = 0;
    if (absl::SimpleAtoi(part, &arch)) capabilities.push_back(absl::StrCat(arch / 100, ".", arch % 100 / 10));
  }
  return absl::StrJoin(capabilities, ", ");
}

std::string IgnoredCode(const char* force_ptx_jit, const char* disable_ptx_jit) {
  std::vector<std::string> ignored;
  const auto add = [&](absl::string_view code, absl::string_view name, const char* value) {
    // 0 is what the driver does by itself.
    if (value == nullptr || *value == '\0' || absl::string_view(value) == "0") return;
    ignored.push_back(absl::StrCat(code, " (", name, "=", value, ")"));
  };
  add("its machine code", "CUDA_FORCE_PTX_JIT", force_ptx_jit);
  add("its PTX", "CUDA_DISABLE_PTX_JIT", disable_ptx_jit);
  return absl::StrJoin(ignored, " and ");
}

CudaPlace CurrentCudaPlace() {
  CudaPlace place;
  place.served = serves;
  place.ignored = IgnoredCode(std::getenv("CUDA_FORCE_PTX_JIT"), std::getenv("CUDA_DISABLE_PTX_JIT"));
  place.built_for = CapabilitiesOf(TRIREME_ARCH_LIST);
  place.capability = "unknown";
  int index = 0, major = 0, minor = 0;
  if (cudaGetDevice(&index) != cudaSuccess) return place;
  place.device = absl::StrCat("cuda:", index);
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) == cudaSuccess &&
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) == cudaSuccess) {
    place.capability = absl::StrCat(major, ".", minor);
  }
  return place;
}

void NoteThatCudaServes() { serves = true; }

Status StatusOfCuda(cudaError_t error, absl::string_view doing, const CudaPlace& place) {
  if (error == cudaSuccess) return absl::OkStatus();
  const Meaning meaning = MeaningOf(error, place);
  return Status(meaning.code,
                absl::StrCat(doing, " failed", On(place), ": ", cudaGetErrorString(error), " (",
                             cudaGetErrorName(error), ")", meaning.text.empty() ? "" : "; ", meaning.text));
}

Status StatusOfCudnn(cudnnStatus_t error, absl::string_view doing, absl::string_view last_error,
                     const CudaPlace& place) {
  if (error == CUDNN_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message = absl::StrCat(doing, " failed", On(place), ": ", cudnnGetErrorString(error),
                                           last_error.empty() ? "" : ": ", last_error);
  switch (error) {
    case CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED:
      return absl::ResourceExhaustedError(absl::StrCat(message, "; lower the batch size or the image size"));
    case CUDNN_STATUS_NOT_INITIALIZED:
    case CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH:
    case CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED:
    case CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE:
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER:
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDART:
    case CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH:
    case CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING:
      return absl::FailedPreconditionError(absl::StrCat(
          message, "; this build needs all libraries of cuDNN ", CUDNN_MAJOR, ".", CUDNN_MINOR, " or a later ",
          CUDNN_MAJOR, ".x where the loader finds them (LD_LIBRARY_PATH), and a driver for CUDA ",
          CUDART_VERSION / 1000));
    default:
      return absl::InternalError(message);
  }
}

Status StatusOfCublas(cublasStatus_t error, absl::string_view doing, const CudaPlace& place) {
  if (error == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message = absl::StrCat(doing, " failed", On(place), ": ", cublasGetStatusString(error));
  switch (error) {
    case CUBLAS_STATUS_ALLOC_FAILED:
      return absl::ResourceExhaustedError(absl::StrCat(message, "; lower the batch size or the image size"));
    case CUBLAS_STATUS_NOT_INITIALIZED:
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return absl::FailedPreconditionError(absl::StrCat(message, "; this build needs cuBLAS ", CUBLAS_VER_MAJOR,
                                                        " and a device and a driver it serves"));
    default:
      return absl::InternalError(message);
  }
}

void CheckCuda(cudaError_t error, absl::string_view doing) {
  if (error == cudaSuccess) return;
  const Status status = StatusOfCuda(error, doing, CurrentCudaPlace());
  cudaGetLastError();  // told; the next launch must not be blamed for it
  throw DeviceError(status);
}

void CheckCudnn(cudnnStatus_t error, absl::string_view doing) {
  if (error == CUDNN_STATUS_SUCCESS) return;
  CheckCuda(Remembered(), doing);
  char last_error[512] = "";
  cudnnGetLastErrorString(last_error, sizeof(last_error));
  throw DeviceError(StatusOfCudnn(error, doing, last_error, CurrentCudaPlace()));
}

void CheckCublas(cublasStatus_t error, absl::string_view doing) {
  if (error == CUBLAS_STATUS_SUCCESS) return;
  CheckCuda(Remembered(), doing);
  throw DeviceError(StatusOfCublas(error, doing, CurrentCudaPlace()));
}

void CheckForCudaFault(absl::string_view doing) { CheckCuda(Remembered(), doing); }

}  // namespace trireme

#endif  // TRIREME_CUDA

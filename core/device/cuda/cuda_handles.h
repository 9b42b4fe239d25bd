// The handles of CUDA's libraries, one set a device, and what is kept beside them. Only in a CUDA build.
//
//   CudaHandles& handles = HandlesOf(context.device);
//   CheckCudnn(cudnnBackendExecute(handles.Cudnn(stream), plan, variants), "convolving");
//
// The device owns them and ends them before its streams. They are made when first asked for, which takes some 100 ms
// and allocates: not for the first time within a capture. Used by the worker's own thread.
#ifndef TRIREME_CORE_DEVICE_CUDA_CUDA_HANDLES_H_
#define TRIREME_CORE_DEVICE_CUDA_CUDA_HANDLES_H_

#ifdef TRIREME_CUDA

#include <cublasLt.h>
#include <cudnn.h>

#include <memory>
#include <typeindex>
#include <unordered_map>

#include "core/device/cuda/cuda_error.h"
#include "core/device/device.h"

namespace trireme {

class CudaHandles {
 public:
  // See DeviceOptions::time_engines.
  explicit CudaHandles(bool times_engines) : times_engines_(times_engines) {}
  ~CudaHandles();
  CudaHandles(const CudaHandles&) = delete;
  CudaHandles& operator=(const CudaHandles&) = delete;

  // Set to this stream until asked for with another.
  cudnnHandle_t Cudnn(Stream& stream);
  // cublasLtMatmul takes its stream, stream.native(), with each call.
  cublasLtHandle_t CublasLt();
  bool times_engines() const { return times_engines_; }
  // What others keep for this device, as plans for its libraries: one T, which make() returns a unique_ptr to when it
  // is first asked for, and which ends before the handles.
  template <class T, class Make>
  T& Kept(const Make& make) {
    std::shared_ptr<void>& kept = kept_[std::type_index(typeid(T))];
    if (kept == nullptr) kept = std::shared_ptr<T>(make());
    return *static_cast<T*>(kept.get());
  }

 private:
  const bool times_engines_;
  cudnnHandle_t cudnn_ = nullptr;
  cublasLtHandle_t cublas_lt_ = nullptr;
  std::unordered_map<std::type_index, std::shared_ptr<void>> kept_;
};

// `device` is a CUDA device.
CudaHandles& HandlesOf(Device& device);

}  // namespace trireme

#endif  // TRIREME_CUDA

#endif  // TRIREME_CORE_DEVICE_CUDA_CUDA_HANDLES_H_

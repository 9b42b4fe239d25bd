#include "core/device/cuda/cuda_handles.h"

#ifdef TRIREME_CUDA

#include <algorithm>

namespace trireme {
namespace {

// Whole steps, so that layers which differ little do not each leave a room behind.
size_t RoundedUp(size_t bytes) {
  constexpr size_t kStep = size_t{8} << 20;
  return std::max<size_t>(1, (bytes + kStep - 1) / kStep) * kStep;
}

}  // namespace

CudaHandles::~CudaHandles() {
  kept_.clear();
  if (cudnn_ != nullptr) cudnnDestroy(cudnn_);
  if (cublas_lt_ != nullptr) cublasLtDestroy(cublas_lt_);
}

cudnnHandle_t CudaHandles::Cudnn(Stream& stream) {
  if (cudnn_ == nullptr) CheckCudnn(cudnnCreate(&cudnn_), "starting cuDNN");
  CheckCudnn(cudnnSetStream(cudnn_, static_cast<cudaStream_t>(stream.native())), "giving cuDNN its stream");
  return cudnn_;
}

cublasLtHandle_t CudaHandles::CublasLt() {
  if (cublas_lt_ == nullptr) CheckCublas(cublasLtCreate(&cublas_lt_), "starting cuBLAS");
  return cublas_lt_;
}

void* CudaHandles::Workspace(Stream& stream, size_t bytes) {
  Room& room = workspaces_[stream.native()];
  if (room.bytes < bytes || room.pointer == nullptr) {
    // At least twice the old one, so that all that is left behind is less than what is in use.
    const size_t larger = RoundedUp(std::max(bytes, 2 * room.bytes));
    room.pointer = allocate_(larger);
    room.bytes = larger;
  }
  return room.pointer;
}

}  // namespace trireme

#endif  // TRIREME_CUDA

#include "core/device/cuda/cuda_handles.h"

#ifdef TRIREME_CUDA

namespace trireme {

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

}  // namespace trireme

#endif  // TRIREME_CUDA

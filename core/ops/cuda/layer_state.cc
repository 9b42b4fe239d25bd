#include "core/ops/cuda/layer_state.h"

#include <cuda_runtime_api.h>

#include <mutex>
#include <unordered_map>

namespace trireme::ops::cuda {
namespace {

void ThrowIfError(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw DeviceError(absl::InternalError(absl::StrCat(what, ": ", cudaGetErrorString(error))));
}

void ThrowIfError(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw DeviceError(FromCudnn(status, what));
}

}  // namespace

LayerState::LayerState(Device& device) {
  int index = 0;
  cudaDeviceProp properties;
  ThrowIfError(cudaGetDevice(&index), "asking for the thread's device");
  ThrowIfError(cudaGetDeviceProperties(&properties, index), "asking for the device's properties");
  ThrowIfError(cudnnCreate(&cudnn_), "starting cuDNN");
  ThrowIfError(cudnnSetStream(cudnn_, static_cast<cudaStream_t>(device.compute_stream().native())),
               "giving cuDNN its stream");
  const cublasStatus_t status = cublasLtCreate(&cublas_lt_);
  if (status != CUBLAS_STATUS_SUCCESS) throw DeviceError(FromCublas(status, "starting cuBLASLt"));
  conv_plans_ = std::make_unique<ConvPlans>(DeviceProperties(index), properties.name,
                                            EngineCache::OfFile(UserCachePath("cudnn_engines.json")));
  matmul_plans_ = std::make_unique<MatmulPlans>(cublas_lt_);
}

LayerState::~LayerState() {
  conv_plans_.reset();
  matmul_plans_.reset();
  if (cublas_lt_ != nullptr) cublasLtDestroy(cublas_lt_);
  if (cudnn_ != nullptr) cudnnDestroy(cudnn_);
}

LayerState& StateOf(Device& device) {
  static auto* const mutex = new std::mutex;
  static auto* const states = new std::unordered_map<Device*, std::unique_ptr<LayerState>>;
  std::lock_guard<std::mutex> lock(*mutex);
  std::unique_ptr<LayerState>& state = (*states)[&device];
  if (state == nullptr) state = std::make_unique<LayerState>(device);
  return *state;
}

}  // namespace trireme::ops::cuda

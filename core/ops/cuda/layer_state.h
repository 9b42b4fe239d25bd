// What convolutions and dense layers keep for each CUDA device: the libraries' handles, and plans. Only in a build with
// CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_LAYER_STATE_H_
#define TRIREME_CORE_OPS_CUDA_LAYER_STATE_H_

#include <cublasLt.h>
#include <cudnn.h>

#include "core/device/device.h"
#include "core/ops/cuda/conv_plans.h"
#include "core/ops/cuda/matmul_plans.h"

namespace trireme::ops::cuda {

// For the device's own thread.
class LayerState {
 public:
  explicit LayerState(Device& device);
  ~LayerState();

  cudnnHandle_t cudnn() const { return cudnn_; }
  ConvPlans& conv_plans() { return *conv_plans_; }
  MatmulPlans& matmul_plans() { return *matmul_plans_; }

 private:
  cudnnHandle_t cudnn_ = nullptr;
  cublasLtHandle_t cublas_lt_ = nullptr;
  std::unique_ptr<ConvPlans> conv_plans_;
  std::unique_ptr<MatmulPlans> matmul_plans_;
};

// Made on first use. Throws DeviceError.
LayerState& StateOf(Device& device);

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_LAYER_STATE_H_

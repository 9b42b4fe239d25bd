// How one CUDA device computes its convolutions and dense layers: plans and algorithms, each chosen once. Kept with the
// device's handles. Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_LAYER_PLANS_H_
#define TRIREME_CORE_OPS_CUDA_LAYER_PLANS_H_

#include "core/device/device.h"
#include "core/ops/cuda/conv_plans.h"
#include "core/ops/cuda/matmul_plans.h"

namespace trireme::ops::cuda {

// For the device's own thread.
struct LayerPlans {
  ConvPlans convolutions;
  MatmulPlans matmuls;
};

// Made on first use. Throws DeviceError.
LayerPlans& PlansOf(Device& device);

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_LAYER_PLANS_H_

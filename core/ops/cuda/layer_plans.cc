#include "core/ops/cuda/layer_plans.h"

#include <cuda_runtime_api.h>

#include "core/device/cuda/cuda_handles.h"

namespace trireme::ops::cuda {
namespace {

std::unique_ptr<LayerPlans> MakePlans(Device& device) {
  int index = 0;
  cudaDeviceProp properties;
  CheckCuda(cudaGetDevice(&index), "asking for the thread's device");
  CheckCuda(cudaGetDeviceProperties(&properties, index), "asking for the device's properties");
  return std::unique_ptr<LayerPlans>(
      new LayerPlans{ConvPlans(DeviceProperties(index), HandlesOf(device).Cudnn(device.compute_stream()),
                               properties.name, EngineCache::OfFile(UserCachePath("cudnn_engines.json"))),
                     MatmulPlans()});
}

}  // namespace

LayerPlans& PlansOf(Device& device) {
  return HandlesOf(device).Kept<LayerPlans>([&device] { return MakePlans(device); });
}

}  // namespace trireme::ops::cuda

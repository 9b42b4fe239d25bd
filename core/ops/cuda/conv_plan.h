// cuDNN's execution plans for convolutions, and how one is chosen. A plan is made for a kind of GPU, which need not be
// there: all of this but Execute runs on a machine without one. Only in a build with CUDA.
//
// Proposals: cuDNN's heuristics name engines with their settings, fastest first (mode A), then such as serve always
// (fallback mode). Those are left whose numerical notes are allowed, whose plan can be made, and whose workspace is
// within the limit. Never allowed: engines that are not deterministic, that sum in less than float32 or convert
// operands to less than TF32. In float32 proper, none that use tensor cores.
#ifndef TRIREME_CORE_OPS_CUDA_CONV_PLAN_H_
#define TRIREME_CORE_OPS_CUDA_CONV_PLAN_H_

#include <memory>
#include <string>
#include <vector>

#include "core/ops/conv_problem.h"
#include "core/ops/cuda/conv_graph.h"
#include "core/ops/cuda/cudnn_descriptor.h"
#include "core/ops/engine_cache.h"

namespace trireme::ops::cuda {

// What cuDNN needs to know of a GPU: of one that is there (throws DeviceError), or of one that cuDNN described as JSON.
Descriptor DeviceProperties(int cuda_device);
StatusOr<Descriptor> DevicePropertiesFromJson(const std::string& json);

class ConvPlan {
 public:
  // With this engine and these settings. Unimplemented if this cuDNN or this GPU has no such thing. `handle` is of a
  // GPU that is there; null: the plan cannot be executed.
  static StatusOr<std::unique_ptr<ConvPlan>> Make(const ConvProblem& problem, const EngineChoice& choice,
                                                  const Descriptor& device, cudnnHandle_t handle);

  int64_t workspace_bytes() const { return workspace_bytes_; }
  // What cuDNN notes of the engine's arithmetic.
  const std::vector<cudnnBackendNumericalNote_t>& notes() const { return notes_; }
  // Bias and relu are part of it. If not, they are left to the caller.
  bool fused() const { return fused_; }

  // Enqueues it on the handle's stream; `bias` is null if it is not fused or there is none. Throws DeviceError.
  void Execute(cudnnHandle_t handle, const void* first, const void* second, const void* bias, void* result,
               void* workspace) const;

 private:
  explicit ConvPlan(const ConvProblem& problem);

  ConvGraph graph_;
  std::vector<Descriptor> parts_;
  Descriptor plan_;
  std::vector<cudnnBackendNumericalNote_t> notes_;
  int64_t workspace_bytes_ = 0;
  bool has_bias_ = false;
  bool fused_ = true;
};

// At least one and at most `most`, the one that cuDNN holds for the fastest first: all with bias and relu in them, or
// all without. Unimplemented, naming the problem, if cuDNN has nothing that is allowed.
StatusOr<std::vector<EngineChoice>> ProposeEngines(const ConvProblem& problem, size_t most, const Descriptor& device);

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_CONV_PLAN_H_

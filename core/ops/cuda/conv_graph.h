// One pass of a convolution as cuDNN's operation graph: tensors in NHWC and filters in OHWI by their strides, sums in
// float32, and for the forward pass bias and relu behind it, so that the result is rounded and written once. Making it
// needs no GPU. Only in a build with CUDA.
#ifndef TRIREME_CORE_OPS_CUDA_CONV_GRAPH_H_
#define TRIREME_CORE_OPS_CUDA_CONV_GRAPH_H_

#include <memory>
#include <vector>

#include "core/ops/conv_problem.h"
#include "core/ops/cuda/cudnn_descriptor.h"

namespace trireme::ops::cuda {

// The ids by which an execution finds its tensors; operands in the order of the functions of layer_passes.h.
enum ConvTensor : int64_t { kFirstOperand = 1, kSecondOperand, kBiasOperand, kResult };

// cuDNN reads 16 bytes at once where pointers allow it; all of ours do.
inline constexpr int64_t kOperandAlignment = 16;

class ConvGraph {
 public:
  // Throws DeviceError (Unimplemented) for what cuDNN has no operation for.
  explicit ConvGraph(const ConvProblem& problem);
  const Descriptor& descriptor() const { return graph_; }

 private:
  void AddTail(const ConvProblem& problem, const Descriptor* sum);
  const Descriptor& Keep(Descriptor descriptor);

  std::vector<std::unique_ptr<Descriptor>> parts_;
  std::vector<const Descriptor*> operations_;
  Descriptor graph_;
};

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_CONV_GRAPH_H_

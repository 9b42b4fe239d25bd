#include "models/detection/global_count.h"

#include "core/api/communicator.h"
#include "core/device/block.h"
#include "core/device/parallel_for.h"

namespace trireme {
namespace {

struct SumCounts {
  struct Shared {};

  int64_t count;
  const float* value;
  float* sum;

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t) const {
    int32_t mine = 0, total;
    for (int64_t i = block.rank(); i < count; i += block.size()) mine += static_cast<int32_t>(value[i]);
    block.ExclusiveSum(mine, &total);
    if (block.rank() == 0) sum[0] = static_cast<float>(total);
  }
};

void AtLeastOne(const Tensor& value, Stream& stream) {
  float* x = value.data<float>();
  ParallelFor(stream, value.size(), [=] TRIREME_HD(int64_t i) { x[i] = x[i] > 1.0f ? x[i] : 1.0f; });
}

void SetTo(const Tensor& tensor, float value, Stream& stream) {
  float* x = tensor.data<float>();
  ParallelFor(stream, tensor.size(), [=] TRIREME_HD(int64_t i) { x[i] = value; });
}

StatusOr<Tensor> SumOfWorkers(const Context& context, const Tensor& sum) {
  if (context.communicator != nullptr && context.communicator->size() > 1) {
    TRIREME_RETURN_IF_ERROR(context.communicator->AllReduce(sum, ReduceOperation::kSum, context.stream()));
  }
  AtLeastOne(sum, context.stream());
  return sum;
}

}  // namespace

StatusOr<Tensor> GlobalCount(const Context& context, const Tensor& counts) {
  const Tensor sum = Tensor::Empty(context.device, {1});
  ForBlocks(context.stream(), 1, SumCounts{counts.size(), counts.data<float>(), sum.data<float>()});
  return SumOfWorkers(context, sum);
}

StatusOr<Tensor> GlobalImages(const Context& context, int64_t mine) {
  const Tensor sum = Tensor::Empty(context.device, {1});
  SetTo(sum, static_cast<float>(mine), context.stream());
  return SumOfWorkers(context, sum);
}

}  // namespace trireme

#include "models/ssd/ssd_kernels.h"

#include "core/device/block.h"
#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"

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

}  // namespace

Tensor SumOfCounts(const Tensor& values, Stream& stream) {
  Tensor sum = Tensor::Empty(stream.device(), {1});
  ForBlocks(stream, 1, SumCounts{values.size(), values.data<float>(), sum.data<float>()});
  return sum;
}

void AtLeastOne(const Tensor& value, Stream& stream) {
  float* x = value.data<float>();
  ParallelFor(stream, value.size(), [=] TRIREME_HD(int64_t i) { x[i] = Larger(x[i], 1.0f); });
}

Tensor DecodeBoxes(const Tensor& offsets, const Tensor& anchors, const BoxCoder& coder, float width, float height,
                   Stream& stream) {
  Tensor boxes = Tensor::Empty(stream.device(), offsets.shape());
  const BoxOffsets* offset = reinterpret_cast<const BoxOffsets*>(offsets.data<float>());
  const Box* anchor = reinterpret_cast<const Box*>(anchors.data<float>());
  Box* out = reinterpret_cast<Box*>(boxes.data<float>());
  const int64_t num_anchors = anchors.dim(0);
  ParallelFor(stream, offsets.size() / 4, [=] TRIREME_HD(int64_t i) {
    out[i] = ClipBox(coder.Decode(offset[i], anchor[i % num_anchors]), width, height);
  });
  return boxes;
}

}  // namespace trireme

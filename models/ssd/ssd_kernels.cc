#include "models/ssd/ssd_kernels.h"

#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"

namespace trireme {

Tensor SumOfCounts(const Tensor& values, Stream& stream) {
  Tensor sum = Tensor::Empty(stream.device(), {1});
  const float* value = values.data<float>();
  float* out = sum.data<float>();
  const int64_t count = values.size();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    float total = 0.0f;
    for (int64_t i = 0; i < count; ++i) total += value[i];
    out[0] = total;
  });
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

#include "models/boxes/decode_boxes.h"

#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"

namespace trireme {

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

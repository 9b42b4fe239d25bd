#include "models/faster_rcnn/class_boxes.h"

#include "core/device/parallel_for.h"
#include "models/boxes/box_geometry.h"

namespace trireme {
namespace {

void Gather(const Tensor& offsets, const Tensor& label, const Tensor& chosen, Stream& stream) {
  const int64_t width = offsets.dim(1);
  const float* from = offsets.data<float>();
  const int32_t* of_row = label.data<int32_t>();
  float* to = chosen.data<float>();
  ParallelFor(stream, chosen.size(),
              [=] TRIREME_HD(int64_t i) { to[i] = from[i / 4 * width + of_row[i / 4] * 4 + i % 4]; });
}

// Zero where the label is another.
void Spread(const Tensor& chosen, const Tensor& label, const Tensor& offsets, Stream& stream) {
  const int64_t width = offsets.dim(1);
  const float* from = chosen.data<float>();
  const int32_t* of_row = label.data<int32_t>();
  float* to = offsets.data<float>();
  ParallelFor(stream, offsets.size(), [=] TRIREME_HD(int64_t i) {
    const int64_t row = i / width, column = i % width;
    to[i] = column / 4 == of_row[row] ? from[row * 4 + column % 4] : 0.0f;
  });
}

}  // namespace

Var OffsetsOfLabel(Context& context, const Var& offsets, const Tensor& label) {
  CHECK(offsets.value().type() == DataType::kFloat32);
  CHECK_EQ(offsets.dim(0), label.size());
  Device& device = context.device;
  const Tensor chosen = Tensor::Empty(device, {label.size(), 4});
  Gather(offsets.value(), label, chosen, context.stream());
  return Record(context, "offsets_of_label", chosen, {offsets}, [&device, offsets, label](Tensor gradient) {
    const Tensor spread = Tensor::Empty(device, offsets.shape());
    Spread(gradient, label, spread, device.compute_stream());
    offsets.AccumulateGradient(spread, device.compute_stream());
  });
}

Tensor DecodeClassBoxes(const Tensor& offsets, const Tensor& proposals, const BoxCoder& coder, const ImageSizes& sizes,
                        float least_side, Stream& stream) {
  const int64_t rows = proposals.size() / 4, of_image = proposals.dim(1), num_classes = offsets.dim(1) / 4 - 1;
  CHECK_EQ(offsets.dim(0), rows);
  const Tensor boxes = Tensor::Empty(stream.device(), {proposals.dim(0), proposals.dim(1), num_classes, 4});
  const BoxOffsets* offset = reinterpret_cast<const BoxOffsets*>(offsets.data<float>());
  const Box* proposal = reinterpret_cast<const Box*>(proposals.data<float>());
  Box* out = reinterpret_cast<Box*>(boxes.data<float>());
  ParallelFor(
      stream, rows * num_classes,
      [=] TRIREME_HD(int64_t i) {
        const int64_t row = i / num_classes, label = i % num_classes;
        Box box;
        if (HasArea(proposal[row])) {
          box = sizes.Clip(row / of_image, coder.Decode(offset[row * (num_classes + 1) + label + 1], proposal[row]));
        }
        out[i] = box.width() >= least_side && box.height() >= least_side ? box : Box();
      },
      /*grain=*/256);
  return boxes;
}

}  // namespace trireme

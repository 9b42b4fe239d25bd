#include "core/ops/pointwise.h"
#include "core/ops/tiles.h"

namespace trireme::ops {
namespace {

// Copies rows of `channels` elements between arrays with other distances between rows.
struct CopyRows {
  const float* from;
  float* to;
  int64_t from_stride, to_stride;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    for (int l = 0; l < kLanes; ++l) to[row * to_stride + c + l] = from[row * from_stride + c + l];
  }
};

}  // namespace

Var Concat(Context& context, const std::vector<Var>& parts, int axis) {
  CHECK(!parts.empty());
  const Shape& first = parts[0].shape();
  if (axis < 0) axis += first.rank();
  CHECK(axis >= 0 && axis < first.rank()) << "axis " << axis << " of " << first;
  int64_t rows = 1;  // what lies outside of the axis
  Shape shape;
  std::vector<int64_t> widths;  // elements of a part in each row
  int64_t width = 0;
  for (int d = 0; d < first.rank(); ++d) {
    int64_t extent = first[d];
    if (d < axis) rows *= extent;
    if (d == axis) {
      extent = 0;
      for (const Var& part : parts) extent += part.dim(axis);
    }
    shape.Append(extent);
  }
  for (const Var& part : parts) {
    CHECK_EQ(part.shape().rank(), first.rank());
    for (int d = 0; d < first.rank(); ++d) {
      if (d != axis) CHECK_EQ(part.dim(d), first[d]) << part.shape() << " beside " << first << ", axis " << axis;
    }
    widths.push_back(rows == 0 ? 0 : part.value().size() / rows);
    width += widths.back();
  }
  Tensor joined = Tensor::Empty(context.device, shape);
  int64_t begin = 0;
  for (size_t p = 0; p < parts.size(); ++p) {
    ForTiles(context.stream(), rows, widths[p],
             CopyRows{parts[p].value().data<float>(), joined.data<float>() + begin, widths[p], width});
    begin += widths[p];
  }
  Device& device = context.device;
  return Record(context, "concat", joined, parts, [&device, parts, widths, rows, width](Tensor gradient) {
    Stream& stream = device.compute_stream();
    int64_t begin = 0;
    for (size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].requires_gradient()) {
        Tensor part = Tensor::Empty(device, parts[p].shape());
        ForTiles(stream, rows, widths[p],
                 CopyRows{gradient.data<float>() + begin, part.data<float>(), width, widths[p]});
        parts[p].AccumulateGradient(std::move(part), stream);
      }
      begin += widths[p];
    }
  });
}

}  // namespace trireme::ops

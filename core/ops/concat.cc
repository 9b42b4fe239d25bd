#include "core/ops/pointwise.h"
#include "core/tensor/tiles.h"

namespace trireme::ops {
namespace {

// Copies rows of elements between arrays with other distances between rows.
template <class T>
struct CopyRows {
  using Element = T;
  const T* from;
  T* to;
  int64_t from_stride, to_stride;

  bool IsAligned() const {
    return AreAligned(from, to) && from_stride % kWideLanes<T> == 0 && to_stride % kWideLanes<T> == 0;
  }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    StoreRaw<kLanes>(LoadRaw<kLanes>(from + row * from_stride + c), to + row * to_stride + c);
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
    CHECK(part.value().type() == parts[0].value().type())
        << DataTypeName(part.value().type()) << " beside " << DataTypeName(parts[0].value().type());
    widths.push_back(rows == 0 ? 0 : part.value().size() / rows);
    width += widths.back();
  }
  const DataType type = parts[0].value().type();
  Tensor joined = Tensor::Empty(context.device, shape, type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    int64_t begin = 0;
    for (size_t p = 0; p < parts.size(); ++p) {
      ForTiles(context.stream(), rows, widths[p],
               CopyRows<T>{parts[p].value().template data<T>(), joined.data<T>() + begin, widths[p], width});
      begin += widths[p];
    }
  });
  Device& device = context.device;
  return Record(context, "concat", joined, parts, [&device, type, parts, widths, rows, width](Tensor gradient) {
    Stream& stream = device.compute_stream();
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      int64_t begin = 0;
      for (size_t p = 0; p < parts.size(); ++p) {
        if (parts[p].requires_gradient()) {
          Tensor part = Tensor::Empty(device, parts[p].shape(), type);
          ForTiles(stream, rows, widths[p], CopyRows<T>{gradient.data<T>() + begin, part.data<T>(), width, widths[p]});
          parts[p].AccumulateGradient(std::move(part), stream);
        }
        begin += widths[p];
      }
    });
  });
}

}  // namespace trireme::ops

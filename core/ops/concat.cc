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

// Adds rows of elements to those of an array with another distance between rows.
template <class T>
struct AddRows {
  using Element = T;
  const T* from;
  T* to;
  int64_t from_stride, to_stride;

  bool IsAligned() const {
    return AreAligned(from, to) && from_stride % kWideLanes<T> == 0 && to_stride % kWideLanes<T> == 0;
  }

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c) const {
    const auto more = Load<kLanes>(from + row * from_stride + c);
    const auto there = Load<kLanes>(to + row * to_stride + c);
    float sum[kLanes];
    for (int l = 0; l < kLanes; ++l) sum[l] = there[l] + more[l];
    Store<kLanes>(sum, to + row * to_stride + c);
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

Var Slice(Context& context, const Var& x, int axis, int64_t begin, int64_t end) {
  if (axis < 0) axis += x.shape().rank();
  CHECK(axis >= 0 && axis < x.shape().rank()) << "axis " << axis << " of " << x.shape();
  CHECK(begin >= 0 && begin <= end && end <= x.dim(axis)) << begin << " to " << end << " of " << x.shape();
  int64_t rows = 1, inner = 1;  // what lies outside of the axis, and within
  Shape shape;
  for (int d = 0; d < x.shape().rank(); ++d) {
    if (d < axis) rows *= x.dim(d);
    if (d > axis) inner *= x.dim(d);
    shape.Append(d == axis ? end - begin : x.dim(d));
  }
  const int64_t from = begin * inner, width = (end - begin) * inner, whole = x.dim(axis) * inner;
  const DataType type = x.value().type();
  Tensor part = Tensor::Empty(context.device, shape, type);
  DispatchFloating(type, [&](auto element) {
    using T = decltype(element);
    ForTiles(context.stream(), rows, width, CopyRows<T>{x.value().data<T>() + from, part.data<T>(), whole, width});
  });
  Device& device = context.device;
  return Record(context, "slice", part, {x}, [&device, type, x, rows, from, width, whole](Tensor gradient) {
    Stream& stream = device.compute_stream();
    bool accumulate;
    const Tensor target = x.GradientTarget(&accumulate);
    if (!accumulate) target.Zero(stream);
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      ForTiles(stream, rows, width, AddRows<T>{gradient.data<T>(), target.data<T>() + from, width, whole});
    });
  });
}

}  // namespace trireme::ops

#include "core/tensor/tensor.h"

namespace trireme {

int64_t SizeOf(DataType type) {
  switch (type) {
    case DataType::kFloat32:
    case DataType::kInt32:
      return 4;
    case DataType::kUint8:
      return 1;
    case DataType::kBfloat16:
    case DataType::kFloat16:
      return 2;
    case DataType::kInt64:
    case DataType::kFloat64:
      return 8;
  }
  LOG(FATAL) << "unknown data type " << static_cast<int>(type);
  return 0;
}

const char* DataTypeName(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return "float32";
    case DataType::kInt32:
      return "int32";
    case DataType::kUint8:
      return "uint8";
    case DataType::kBfloat16:
      return "bfloat16";
    case DataType::kFloat16:
      return "float16";
    case DataType::kInt64:
      return "int64";
    case DataType::kFloat64:
      return "float64";
  }
  return "?";
}

struct Tensor::Storage {
  Storage(Device& d, size_t bytes, MemoryKind kind) : device(d), pointer(d.Allocate(bytes, kind)) {}
  ~Storage() { device.Free(pointer); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device& device;
  void* const pointer;
};

Tensor Tensor::Empty(Device& device, const Shape& shape, DataType type, MemoryKind kind) {
  Tensor tensor;
  tensor.storage_ = std::make_shared<Storage>(device, static_cast<size_t>(shape.size() * SizeOf(type)), kind);
  tensor.shape_ = shape;
  tensor.type_ = type;
  return tensor;
}

Tensor Tensor::Zeros(Device& device, const Shape& shape, DataType type, MemoryKind kind) {
  Tensor tensor = Empty(device, shape, type, kind);
  tensor.Zero(device.compute_stream());
  return tensor;
}

Tensor Tensor::FromHost(Device& device, const Shape& shape, DataType type, const void* values) {
  Tensor tensor = Empty(device, shape, type);
  tensor.CopyFromHost(values);
  return tensor;
}

Device& Tensor::device() const {
  CHECK(defined());
  return storage_->device;
}

void* Tensor::raw() const {
  DCHECK(defined());
  return static_cast<char*>(storage_->pointer) + byte_offset_;
}

Tensor Tensor::Reshape(const Shape& shape) const {
  CHECK_EQ(shape.size(), size()) << shape_ << " as " << shape;
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::Slice(int64_t begin, int64_t end) const {
  CHECK(0 <= begin && begin <= end && end <= shape_[0]) << begin << ".." << end << " of " << shape_;
  int64_t row = 1;
  Shape shape{end - begin};
  for (int d = 1; d < shape_.rank(); ++d) {
    shape.Append(shape_[d]);
    row *= shape_[d];
  }
  Tensor view = *this;
  view.shape_ = shape;
  view.byte_offset_ += begin * row * SizeOf(type_);
  return view;
}

Tensor Tensor::Flat(int64_t begin, int64_t end) const { return Reshape({size()}).Slice(begin, end); }

void Tensor::CopyFrom(const Tensor& other, Stream& stream) const {
  CHECK_EQ(size(), other.size());
  CHECK(type_ == other.type_);
  device().Copy(raw(), other.raw(), static_cast<size_t>(bytes()), stream);
}

void Tensor::Zero(Stream& stream) const { device().Fill(raw(), 0, static_cast<size_t>(bytes()), stream); }

void Tensor::CopyToHost(void* to) const {
  Stream& stream = device().compute_stream();
  device().Copy(to, raw(), static_cast<size_t>(bytes()), stream);
  stream.Synchronize();
}

void Tensor::CopyFromHost(const void* from) const {
  Stream& stream = device().compute_stream();
  device().Copy(raw(), from, static_cast<size_t>(bytes()), stream);
  stream.Synchronize();
}

}  // namespace trireme

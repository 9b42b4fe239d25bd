// A Tensor is a dense row-major array on a device: shape, element type, and a share of the storage.
//
// There is one layout: images are [N, H, W, C], filters [O, H, W, I], matrices [rows, columns]. Copying
// a Tensor copies the handle; Reshape and Slice give views of the same storage, which lives as long as
// any of them. A Tensor is not const-deep: data() of a const Tensor is writable. Threads: as a
// shared_ptr; the elements are the streams' business.
#ifndef TRIREME_CORE_TENSOR_TENSOR_H_
#define TRIREME_CORE_TENSOR_TENSOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/device/device.h"
#include "core/tensor/floating.h"
#include "core/tensor/shape.h"

namespace trireme {

enum class DataType { kFloat32, kInt32, kUint8, kBfloat16, kFloat16, kInt64, kFloat64 };

int64_t SizeOf(DataType type);            // bytes of an element
const char* DataTypeName(DataType type);  // "float32"

template <class T>
struct DataTypeOf;
template <>
struct DataTypeOf<float> {
  static constexpr DataType value = DataType::kFloat32;
};
template <>
struct DataTypeOf<double> {
  static constexpr DataType value = DataType::kFloat64;
};
template <>
struct DataTypeOf<int32_t> {
  static constexpr DataType value = DataType::kInt32;
};
template <>
struct DataTypeOf<int64_t> {
  static constexpr DataType value = DataType::kInt64;
};
template <>
struct DataTypeOf<uint8_t> {
  static constexpr DataType value = DataType::kUint8;
};
template <>
struct DataTypeOf<bfloat16> {
  static constexpr DataType value = DataType::kBfloat16;
};
template <>
struct DataTypeOf<float16> {
  static constexpr DataType value = DataType::kFloat16;
};

// Calls function(T()) with T = float, bfloat16 or float16, whichever `type` is. The function may be a generic lambda
// that calls templates; kernels are defined in those, for nvcc takes no device lambda inside a generic one.
template <class Function>
decltype(auto) DispatchFloating(DataType type, Function&& function) {
  switch (type) {
    case DataType::kFloat32:
      return function(float());
    case DataType::kBfloat16:
      return function(bfloat16());
    case DataType::kFloat16:
      return function(float16());
    default:
      LOG(FATAL) << DataTypeName(type) << " is no floating-point type";
      return function(float());
  }
}

class Tensor {
 public:
  // Undefined: no storage. defined() tells.
  Tensor() = default;

  // Elements are uninitialised. May throw DeviceError (see device.h).
  static Tensor Empty(Device& device, const Shape& shape, DataType type = DataType::kFloat32,
                      MemoryKind kind = MemoryKind::kActivations);
  // In compute stream order.
  static Tensor Zeros(Device& device, const Shape& shape, DataType type = DataType::kFloat32,
                      MemoryKind kind = MemoryKind::kActivations);
  // Copies from the host, in compute stream order; `values` holds shape.size() elements.
  template <class T>
  static Tensor From(Device& device, const Shape& shape, const std::vector<T>& values) {
    CHECK_EQ(shape.size(), static_cast<int64_t>(values.size()));
    return FromHost(device, shape, DataTypeOf<T>::value, values.data());
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int d) const { return shape_[d]; }
  int64_t size() const { return shape_.size(); }
  int64_t bytes() const { return size() * SizeOf(type_); }
  DataType type() const { return type_; }
  Device& device() const;

  // A device pointer; on CUDA not for the host to read. T must match type().
  template <class T>
  T* data() const {
    DCHECK(DataTypeOf<T>::value == type_) << "a tensor of " << DataTypeName(type_);
    return static_cast<T*>(raw());
  }
  void* raw() const;

  // True if nothing else holds this storage, so that it may be overwritten in place.
  bool unique() const { return storage_.use_count() == 1; }

  // The same elements in another shape of the same size.
  Tensor Reshape(const Shape& shape) const;
  // Elements [begin, end) of the outermost dimension.
  Tensor Slice(int64_t begin, int64_t end) const;
  // Elements [begin, end) of the flattened tensor, as a vector.
  Tensor Flat(int64_t begin, int64_t end) const;

  // Both in stream order.
  void CopyFrom(const Tensor& other, Stream& stream) const;
  void Zero(Stream& stream) const;

  // Waits for the compute stream and copies to the host. For tests, logs and checkpoints.
  template <class T>
  std::vector<T> ToVector() const {
    CHECK(DataTypeOf<T>::value == type_) << "a tensor of " << DataTypeName(type_);
    std::vector<T> values(size());
    CopyToHost(values.data());
    return values;
  }
  void CopyToHost(void* to) const;
  // Copies bytes() bytes from the host and waits, so that `from` may be freed.
  void CopyFromHost(const void* from) const;

 private:
  struct Storage;
  static Tensor FromHost(Device& device, const Shape& shape, DataType type, const void* values);

  std::shared_ptr<Storage> storage_;
  int64_t byte_offset_ = 0;
  Shape shape_;
  DataType type_ = DataType::kFloat32;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TENSOR_TENSOR_H_

// cuDNN's backend descriptors as C++ values: created, given attributes, finalized, destroyed. Only in a build with
// CUDA.
//
// A descriptor that another one refers to has to live as long as that one. Used by one thread at a time.
#ifndef TRIREME_CORE_OPS_CUDA_CUDNN_DESCRIPTOR_H_
#define TRIREME_CORE_OPS_CUDA_CUDNN_DESCRIPTOR_H_

#include <cudnn.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/base/status.h"

namespace trireme::ops::cuda {

// OK, or what cuDNN says: Unimplemented for what it does not support, ResourceExhausted for lack of memory, else
// Internal. `what` was being done: "finalizing a plan".
Status FromCudnn(cudnnStatus_t status, absl::string_view what);

template <class T>
struct AttributeType;
template <>
struct AttributeType<bool> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_BOOLEAN;
};
template <>
struct AttributeType<char> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_CHAR;
};
template <>
struct AttributeType<int32_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_INT32;
};
template <>
struct AttributeType<int64_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_INT64;
};
template <>
struct AttributeType<float> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_FLOAT;
};
template <>
struct AttributeType<void*> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_VOID_PTR;
};
template <>
struct AttributeType<cudnnHandle_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_HANDLE;
};
template <>
struct AttributeType<cudnnDataType_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_DATA_TYPE;
};
template <>
struct AttributeType<cudnnConvolutionMode_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_CONVOLUTION_MODE;
};
template <>
struct AttributeType<cudnnPointwiseMode_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_POINTWISE_MODE;
};
template <>
struct AttributeType<cudnnBackendHeurMode_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_HEUR_MODE;
};
template <>
struct AttributeType<cudnnBackendKnobType_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_KNOB_TYPE;
};
template <>
struct AttributeType<cudnnBackendNumericalNote_t> {
  static constexpr cudnnBackendAttributeType_t value = CUDNN_TYPE_NUMERICAL_NOTE;
};

class Descriptor {
 public:
  // Throws DeviceError, as do Set, Refer and Get.
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  cudnnBackendDescriptor_t get() const { return handle_; }

  template <class T>
  Descriptor& Set(cudnnBackendAttributeName_t name, const T& value) {
    SetRaw(name, AttributeType<T>::value, 1, &value);
    return *this;
  }
  template <class T>
  Descriptor& Set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    SetRaw(name, AttributeType<T>::value, static_cast<int64_t>(values.size()), values.data());
    return *this;
  }
  Descriptor& Refer(cudnnBackendAttributeName_t name, const Descriptor& other);
  Descriptor& Refer(cudnnBackendAttributeName_t name, const std::vector<const Descriptor*>& others);

  // Unimplemented where cuDNN does not support what is described.
  Status TryFinalize();
  // Throws DeviceError.
  Descriptor& Finalize();

  // One value.
  template <class T>
  T Get(cudnnBackendAttributeName_t name) const {
    T value{};
    GetRaw(name, AttributeType<T>::value, 1, &value);
    return value;
  }
  // Up to `most` values.
  template <class T>
  std::vector<T> GetAll(cudnnBackendAttributeName_t name, int64_t most) const {
    std::vector<T> values(static_cast<size_t>(most));
    values.resize(static_cast<size_t>(GetRaw(name, AttributeType<T>::value, most, values.data())));
    return values;
  }
  // The descriptors that the attribute refers to, at most `most`, which are of this type.
  std::vector<Descriptor> GetDescriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                         int64_t most) const;

 private:
  void SetRaw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values);
  int64_t GetRaw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, void* values) const;

  cudnnBackendDescriptor_t handle_ = nullptr;
};

}  // namespace trireme::ops::cuda

#endif  // TRIREME_CORE_OPS_CUDA_CUDNN_DESCRIPTOR_H_

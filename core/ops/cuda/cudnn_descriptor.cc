#include "core/ops/cuda/cudnn_descriptor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/device/device.h"

namespace trireme::ops::cuda {
namespace {

void ThrowIfError(cudnnStatus_t status, absl::string_view what, int attribute) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw DeviceError(FromCudnn(status, absl::StrCat(what, " attribute ", attribute)));
}

}  // namespace

Status FromCudnn(cudnnStatus_t status, absl::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return absl::OkStatus();
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof detail);
  const std::string message = absl::StrCat(what, ": ", cudnnGetErrorString(status), ". ", detail);
  const int category = CUDNN_STATUS_CATEGORY(static_cast<int>(status));
  if (category == CUDNN_STATUS_NOT_SUPPORTED) return absl::UnimplementedError(message);
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  const cudnnStatus_t status = cudnnBackendCreateDescriptor(type, &handle_);
  if (status != CUDNN_STATUS_SUCCESS) {
    throw DeviceError(FromCudnn(status, absl::StrCat("making a cuDNN descriptor of type ", static_cast<int>(type))));
  }
}

Descriptor::~Descriptor() {
  if (handle_ != nullptr) cudnnBackendDestroyDescriptor(handle_);
}

Descriptor& Descriptor::Refer(cudnnBackendAttributeName_t name, const Descriptor& other) {
  SetRaw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.handle_);
  return *this;
}

Descriptor& Descriptor::Refer(cudnnBackendAttributeName_t name, const std::vector<const Descriptor*>& others) {
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const Descriptor* other : others) handles.push_back(other->handle_);
  SetRaw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(handles.size()), handles.data());
  return *this;
}

Status Descriptor::TryFinalize() { return FromCudnn(cudnnBackendFinalize(handle_), "finalizing a cuDNN descriptor"); }

Descriptor& Descriptor::Finalize() {
  Status status = TryFinalize();
  if (!status.ok()) throw DeviceError(std::move(status));
  return *this;
}

std::vector<Descriptor> Descriptor::GetDescriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type,
                                                   int64_t most) const {
  // It fills descriptors that exist, and tells how many; not all attributes tell beforehand.
  std::vector<Descriptor> descriptors;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < most; ++i) {
    descriptors.emplace_back(type);
    handles.push_back(descriptors.back().handle_);
  }
  const int64_t count = GetRaw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, handles.data());
  descriptors.erase(descriptors.begin() + std::min(count, most), descriptors.end());
  return descriptors;
}

void Descriptor::SetRaw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                        const void* values) {
  ThrowIfError(cudnnBackendSetAttribute(handle_, name, type, count, values), "setting cuDNN's", name);
}

int64_t Descriptor::GetRaw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                           void* values) const {
  int64_t returned = 0;
  ThrowIfError(cudnnBackendGetAttribute(handle_, name, type, count, &returned, values), "asking for cuDNN's", name);
  return returned;
}

}  // namespace trireme::ops::cuda

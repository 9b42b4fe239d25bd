#include "core/device/cuda/cuda_memory.h"

#ifdef TRIREME_CUDA

#include "core/device/cuda/cuda_error.h"

namespace trireme {
namespace {

// The thread works on this device, and a capture of its own does not mind, until the end of the scope.
class AllocationScope {
 public:
  explicit AllocationScope(int index) : index_(index) {
    if (cudaGetDevice(&before_) != cudaSuccess) before_ = index;
    if (before_ != index) cudaSetDevice(index);
    cudaThreadExchangeStreamCaptureMode(&mode_);
  }
  ~AllocationScope() {
    cudaThreadExchangeStreamCaptureMode(&mode_);
    if (before_ != index_) cudaSetDevice(before_);
  }

 private:
  const int index_;
  int before_ = 0;
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// Few distinct sizes: powers of two from a page on.
size_t CapacityFor(size_t bytes) {
  size_t capacity = 4096;
  while (capacity < bytes) capacity *= 2;
  return capacity;
}

}  // namespace

void* CudaSegments::Take(size_t bytes) {
  const AllocationScope scope(index_);
  void* segment = nullptr;
  const cudaError_t error = cudaMalloc(&segment, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the device goes on, so its last error must not be this
    return nullptr;
  }
  CheckCuda(error, "taking memory from the device");
  return segment;
}

void CudaSegments::GiveBack(void* segment, size_t) {
  const AllocationScope scope(index_);
  cudaFree(segment);
}

CudaHostMemory::~CudaHostMemory() {
  const AllocationScope scope(index_);
  for (const auto& [capacity, pointer] : free_) cudaFreeHost(pointer);
}

std::shared_ptr<void> CudaHostMemory::Allocate(size_t bytes) {
  const size_t capacity = CapacityFor(bytes);
  void* pointer = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = free_.find(capacity);
    if (found != free_.end()) {
      pointer = found->second;
      free_.erase(found);
    }
  }
  if (pointer == nullptr) {
    const AllocationScope scope(index_);
    CheckCuda(cudaHostAlloc(&pointer, capacity, cudaHostAllocPortable), "allocating page-locked memory of the host");
  }
  return {pointer, [self = shared_from_this(), capacity](void* p) {
            std::lock_guard<std::mutex> lock(self->mutex_);
            self->free_.emplace(capacity, p);
          }};
}

}  // namespace trireme

#endif  // TRIREME_CUDA

// Where a CUDA device's pools take their memory from.
#ifndef TRIREME_CORE_DEVICE_CUDA_CUDA_MEMORY_H_
#define TRIREME_CORE_DEVICE_CUDA_CUDA_MEMORY_H_

#ifdef TRIREME_CUDA

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "core/device/block_pool.h"

namespace trireme {

// The device's memory. A thread that captures may take and give back too: segments are not part of what is captured.
class CudaSegments : public SegmentSource {
 public:
  explicit CudaSegments(int index) : index_(index) {}
  // Null if there is no more; throws DeviceError for any other fault.
  void* Take(size_t bytes) override;
  void GiveBack(void* segment, size_t bytes) override;

 private:
  const int index_;
};

// Page-locked memory of the host, kept for reuse: locking takes milliseconds and waits for the device. Thread-safe.
class CudaHostMemory : public std::enable_shared_from_this<CudaHostMemory> {
 public:
  explicit CudaHostMemory(int index) : index_(index) {}
  ~CudaHostMemory();
  // May be dropped after the device has ended, too.
  std::shared_ptr<void> Allocate(size_t bytes);

 private:
  const int index_;
  std::mutex mutex_;
  std::multimap<size_t, void*> free_;  // by capacity
};

}  // namespace trireme

#endif  // TRIREME_CUDA

#endif  // TRIREME_CORE_DEVICE_CUDA_CUDA_MEMORY_H_

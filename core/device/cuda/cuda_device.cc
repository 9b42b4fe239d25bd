#include "core/device/cuda/cuda_device.h"

#include "absl/strings/str_cat.h"

#ifdef TRIREME_CUDA

#include <cuda_runtime.h>
#include <glog/logging.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_handles.h"

namespace trireme {
namespace {

Status FromCuda(cudaError_t error, absl::string_view what) { return StatusOfCuda(error, what, CurrentCudaPlace()); }

void ThrowIfError(cudaError_t error, absl::string_view what) { CheckCuda(error, what); }

class CudaEvent : public Event {
 public:
  CudaEvent() { ThrowIfError(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event"); }
  ~CudaEvent() override { cudaEventDestroy(event_); }
  void Synchronize() override { ThrowIfError(cudaEventSynchronize(event_), "waiting for an event"); }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaStream : public Stream {
 public:
  explicit CudaStream(Device& device) : device_(device) {
    ThrowIfError(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  }
  ~CudaStream() override {
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
  }
  Device& device() override { return device_; }
  void Enqueue(std::function<void()> work) override {
    auto* held = new std::function<void()>(std::move(work));
    const auto call = [](void* argument) {
      auto* function = static_cast<std::function<void()>*>(argument);
      (*function)();
      delete function;
    };
    const cudaError_t error = cudaLaunchHostFunc(stream_, call, held);
    if (error != cudaSuccess) delete held;
    ThrowIfError(error, "enqueueing host work");
  }
  void Record(Event& event) override {
    ThrowIfError(cudaEventRecord(static_cast<CudaEvent&>(event).get(), stream_), "recording an event");
  }
  void Wait(Event& event) override {
    ThrowIfError(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).get(), 0), "waiting for an event");
  }
  void Synchronize() override { ThrowIfError(cudaStreamSynchronize(stream_), "waiting for a stream"); }
  void* native() override { return stream_; }

 private:
  Device& device_;
  cudaStream_t stream_ = nullptr;
};

class CudaDevice : public Device {
 public:
  CudaDevice(int index, std::string name) : index_(index), name_(std::move(name)), compute_stream_(*this) {}

  DeviceKind kind() const override { return DeviceKind::kCuda; }
  std::string name() const override { return name_; }
  int threads() const override { return 1; }
  void BindToThisThread() override { ThrowIfError(cudaSetDevice(index_), "choosing the device"); }

  void* Allocate(size_t bytes, MemoryKind kind) override {
    void* pointer = nullptr;
    const cudaError_t error =
        cudaMallocAsync(&pointer, std::max<size_t>(bytes, 1), static_cast<cudaStream_t>(compute_stream_.native()));
    if (error != cudaSuccess) {
      cudaGetLastError();  // an allocation that fails leaves the device usable; so must its error
      size_t free_bytes = 0, total = 0;
      cudaMemGetInfo(&free_bytes, &total);
      throw DeviceError(absl::ResourceExhaustedError(
          absl::StrCat(name_, " is out of memory: no ", bytes >> 20, " MiB more for ", MemoryKindName(kind), " (",
                       free_bytes >> 20, " of ", total >> 20, " MiB free); lower the batch size or the image size")));
    }
    std::lock_guard<std::mutex> lock(mutex_);
    blocks_[pointer] = {static_cast<int64_t>(bytes), kind};
    int64_t& in_use = stats_.in_use[static_cast<int>(kind)];
    in_use += static_cast<int64_t>(bytes);
    stats_.peak[static_cast<int>(kind)] = std::max(stats_.peak[static_cast<int>(kind)], in_use);
    int64_t total = 0;
    for (int64_t of_kind : stats_.in_use) total += of_kind;
    stats_.peak_total = std::max(stats_.peak_total, total);
    return pointer;
  }
  void Free(void* pointer) override {
    if (pointer == nullptr) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto found = blocks_.find(pointer);
      CHECK(found != blocks_.end()) << "freed a pointer that this device did not hand out";
      stats_.in_use[static_cast<int>(found->second.kind)] -= found->second.bytes;
      blocks_.erase(found);
    }
    // Runs in destructors: a device that is lost is reported by the next operation instead.
    cudaFreeAsync(pointer, static_cast<cudaStream_t>(compute_stream_.native()));
  }
  MemoryStats memory() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    MemoryStats stats = stats_;
    cudaMemPool_t pool = nullptr;
    uint64_t reserved = 0;
    if (cudaDeviceGetDefaultMemPool(&pool, index_) == cudaSuccess &&
        cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved) == cudaSuccess) {
      stats.reserved = static_cast<int64_t>(reserved);
    }
    return stats;
  }

  std::shared_ptr<void> NewHostBuffer(size_t bytes) override {
    void* pointer = nullptr;
    ThrowIfError(cudaMallocHost(&pointer, std::max<size_t>(bytes, 1)), "allocating page-locked memory");
    return {pointer, [](void* p) { cudaFreeHost(p); }};
  }

  CudaHandles& handles() { return handles_; }

  Stream& compute_stream() override { return compute_stream_; }
  std::unique_ptr<Stream> NewStream(const std::string&) override { return std::make_unique<CudaStream>(*this); }
  std::unique_ptr<Event> NewEvent() override { return std::make_unique<CudaEvent>(); }

  void Copy(void* to, const void* from, size_t bytes, Stream& stream) override {
    ThrowIfError(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream.native())),
                 "copying");
  }
  void Fill(void* to, int byte, size_t bytes, Stream& stream) override {
    ThrowIfError(cudaMemsetAsync(to, byte, bytes, static_cast<cudaStream_t>(stream.native())), "filling");
  }

 private:
  struct Block {
    int64_t bytes;
    MemoryKind kind;
  };

  void* AllocateForEver(size_t bytes) { return Allocate(bytes, MemoryKind::kActivations); }

  const int index_;
  const std::string name_;
  mutable std::mutex mutex_;
  std::unordered_map<void*, Block> blocks_;
  MemoryStats stats_;
  CudaStream compute_stream_;
  CudaHandles handles_{[this](size_t bytes) { return AllocateForEver(bytes); }};
};

}  // namespace

CudaHandles& HandlesOf(Device& device) {
  CHECK(device.kind() == DeviceKind::kCuda);
  return static_cast<CudaDevice&>(device).handles();
}

namespace internal {
void CheckLaunch() { ThrowIfError(cudaGetLastError(), "launching a kernel"); }
}  // namespace internal

int CudaDeviceCount() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

StatusOr<std::unique_ptr<Device>> MakeCudaDevice(int index) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    int driver = 0, runtime = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    const std::string needed = absl::StrCat("this build needs CUDA ", runtime / 1000, ".", runtime % 1000 / 10);
    if (driver == 0) {
      return absl::FailedPreconditionError(absl::StrCat("cuda:", index, ": this machine has no NVIDIA driver, ", needed,
                                                        "; install one or use --device=cpu"));
    }
    return absl::FailedPreconditionError(absl::StrCat("cuda:", index, ": the NVIDIA driver serves CUDA ", driver / 1000,
                                                      ".", driver % 1000 / 10, ", ", needed,
                                                      "; update the driver or use --device=cpu"));
  }
  if (error != cudaSuccess || count == 0) {
    return absl::FailedPreconditionError(absl::StrCat("cuda:", index, ": no CUDA device: ", cudaGetErrorString(error),
                                                      "; check nvidia-smi, or use --device=cpu"));
  }
  if (index >= count) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no cuda:", index, "; this machine has ", count, " (cuda:0 to cuda:", count - 1, ")"));
  }
  cudaDeviceProp properties;
  TRIREME_RETURN_IF_ERROR(FromCuda(cudaGetDeviceProperties(&properties, index), "asking for the device's properties"));
  TRIREME_RETURN_IF_ERROR(FromCuda(cudaSetDevice(index), absl::StrCat("choosing cuda:", index)));
  // Keep freed memory in the pool: giving it back to the driver costs a synchronisation a step.
  cudaMemPool_t pool = nullptr;
  TRIREME_RETURN_IF_ERROR(FromCuda(cudaDeviceGetDefaultMemPool(&pool, index), "finding the memory pool"));
  uint64_t keep_all = UINT64_MAX;
  TRIREME_RETURN_IF_ERROR(FromCuda(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all),
                                   "setting up the memory pool"));
  std::unique_ptr<Device> device;
  TRIREME_RETURN_IF_ERROR(CatchDeviceError([&] {
    device = std::make_unique<CudaDevice>(index, absl::StrCat("cuda:", index, " ", properties.name));
    return absl::OkStatus();
  }));
  return device;
}

}  // namespace trireme

#else  // !TRIREME_CUDA

namespace trireme {

int CudaDeviceCount() { return 0; }

StatusOr<std::unique_ptr<Device>> MakeCudaDevice(int index) {
  return absl::FailedPreconditionError(absl::StrCat(
      "cuda:", index, ": this build has no CUDA; build with --config=cuda, or use --device=cpu"));
}

}  // namespace trireme

#endif  // TRIREME_CUDA

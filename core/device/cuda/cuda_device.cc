#include "core/device/cuda/cuda_device.h"

#include "absl/strings/str_cat.h"

#ifdef TRIREME_CUDA

#include <cuda_runtime.h>
#include <glog/logging.h>

#include <utility>

#include "core/device/block_pool.h"
#include "core/device/cuda/cuda_error.h"
#include "core/device/cuda/cuda_handles.h"
#include "core/device/cuda/cuda_memory.h"
#include "core/device/cuda/cuda_probe.h"
#include "core/device/cuda/cuda_stream.h"
#include "core/device/memory_fault.h"
#include "core/device/parallel_for.h"

namespace trireme {
namespace {

class CudaStepGraph : public Graph {
 public:
  CudaStepGraph(BlockPool& pool, int private_pool, CudaStream& compute, HostWork host_work, cudaGraphExec_t executable)
      : pool_(pool),
        private_pool_(private_pool),
        compute_(compute),
        host_work_(std::move(host_work)),
        executable_(executable) {}
  ~CudaStepGraph() override {
    // The memory may be reused in stream order, but the host's work may not end before its last call.
    if (!host_work_.empty()) cudaStreamSynchronize(compute_.get());
    cudaGraphExecDestroy(executable_);
    host_work_.clear();
    pool_.ReleasePrivate(private_pool_);
  }
  void Launch() override { CheckCuda(cudaGraphLaunch(executable_, compute_.get()), "launching a captured step"); }

 private:
  BlockPool& pool_;
  const int private_pool_;
  CudaStream& compute_;
  HostWork host_work_;
  const cudaGraphExec_t executable_;
};

class CudaDevice : public Device {
 public:
  CudaDevice(int index, std::string name, const DeviceOptions& options)
      : index_(index),
        name_(std::move(name)),
        host_memory_(std::make_shared<CudaHostMemory>(index)),
        segments_(index),
        pool_(segments_, options.memory_limit),
        stream_state_(std::make_shared<CudaStreamState>()),
        compute_(*this, stream_state_, false),
        handles_(options.time_engines) {}
  ~CudaDevice() override { AbandonCapture(); }

  DeviceKind kind() const override { return DeviceKind::kCuda; }
  std::string name() const override { return name_; }
  int threads() const override { return 1; }
  void BindToThisThread() override { CheckCuda(cudaSetDevice(index_), "choosing the device"); }

  bool Reserve(size_t bytes) { return pool_.Reserve(bytes); }

  void* Allocate(size_t bytes, MemoryKind kind) override {
    void* const pointer = pool_.Allocate(bytes, kind);
    if (pointer != nullptr) return pointer;
    MemoryRequest request;
    request.device = name_;
    request.bytes = bytes;
    request.kind = kind;
    size_t free = 0, total = 0;
    if (cudaMemGetInfo(&free, &total) == cudaSuccess) {
      request.free = static_cast<int64_t>(free);
      request.total = static_cast<int64_t>(total);
    }
    throw DeviceError(OutOfMemory(request, pool_.stats()));
  }
  void Free(void* pointer) override { pool_.Free(pointer); }
  MemoryStats memory() const override { return pool_.stats(); }
  std::shared_ptr<void> NewHostBuffer(size_t bytes) override { return host_memory_->Allocate(bytes); }

  Stream& compute_stream() override { return compute_; }
  std::unique_ptr<Stream> NewStream(const std::string&) override {
    return std::make_unique<CudaStream>(*this, stream_state_, true);
  }
  std::unique_ptr<Event> NewEvent() override { return std::make_unique<CudaEvent>(stream_state_); }

  void Copy(void* to, const void* from, size_t bytes, Stream& stream) override {
    if (bytes == 0) return;
    CheckCuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<CudaStream&>(stream).get()), "copying");
  }
  void Fill(void* to, int byte, size_t bytes, Stream& stream) override {
    if (bytes == 0) return;
    CheckCuda(cudaMemsetAsync(to, byte, bytes, static_cast<CudaStream&>(stream).get()), "filling memory");
  }

  bool can_capture() const override { return true; }
  void BeginCapture() override {
    if (stream_state_->IsCapturing()) {
      throw DeviceError(absl::FailedPreconditionError("a capture began within another"));
    }
    // What is recorded has memory of its own. That of the steps before it would lie idle from now on.
    CheckCuda(cudaStreamSynchronize(compute_.get()), "waiting before a capture");
    pool_.ReleaseFreeSegments();
    // Other threads (input, other workers) go on as they do.
    CheckCuda(cudaStreamBeginCapture(compute_.get(), cudaStreamCaptureModeThreadLocal), "beginning a capture");
    stream_state_->BeginCapture();
    private_pool_ = pool_.BeginPrivate();
  }
  std::unique_ptr<Graph> EndCapture() override {
    if (!stream_state_->IsCapturing()) {
      throw DeviceError(absl::FailedPreconditionError("a capture ended that had not begun"));
    }
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    cudaError_t error = cudaStreamEndCapture(compute_.get(), &graph);
    HostWork host_work = stream_state_->EndCapture();
    pool_.EndPrivate();
    if (error == cudaSuccess) error = cudaGraphInstantiate(&executable, graph, 0);
    if (graph != nullptr) cudaGraphDestroy(graph);
    if (error == cudaSuccess) error = cudaGraphUpload(executable, compute_.get());
    if (error != cudaSuccess) {
      if (executable != nullptr) cudaGraphExecDestroy(executable);
      host_work.clear();
      pool_.ReleasePrivate(private_pool_);
      CheckCuda(error, "making a graph of the captured step");
    }
    return std::make_unique<CudaStepGraph>(pool_, private_pool_, compute_, std::move(host_work), executable);
  }
  void AbandonCapture() override {
    if (!stream_state_->IsCapturing()) return;
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(compute_.get(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();  // that of whatever has spoilt the capture
    HostWork host_work = stream_state_->EndCapture();
    pool_.EndPrivate();
    host_work.clear();
    pool_.ReleasePrivate(private_pool_);
  }

  CudaHandles& handles() { return handles_; }

 private:
  // In the order in which they need one another; they end the other way round.
  const int index_;
  const std::string name_;
  const std::shared_ptr<CudaHostMemory> host_memory_;
  CudaSegments segments_;
  BlockPool pool_;
  const std::shared_ptr<CudaStreamState> stream_state_;
  CudaStream compute_;
  CudaHandles handles_;
  int private_pool_ = 0;
};

}  // namespace

CudaHandles& HandlesOf(Device& device) {
  CHECK(device.kind() == DeviceKind::kCuda);
  return static_cast<CudaDevice&>(device).handles();
}

namespace internal {
void CheckLaunch() { CheckCuda(cudaGetLastError(), "launching a kernel"); }
}  // namespace internal

int CudaDeviceCount() { return TakeCudaInventory().count; }

StatusOr<std::unique_ptr<Device>> MakeCudaDevice(int index, const DeviceOptions& options) {
  TRIREME_RETURN_IF_ERROR(CheckInventory(TakeCudaInventory(), index));
  TRIREME_RETURN_IF_ERROR(StartCudaDevice(index));
  cudaDeviceProp properties;
  TRIREME_RETURN_IF_ERROR(StatusOfCuda(cudaGetDeviceProperties(&properties, index),
                                       "asking for the device's properties", CurrentCudaPlace()));
  std::unique_ptr<Device> device;
  TRIREME_RETURN_IF_ERROR(CatchDeviceError([&] {
    auto made = std::make_unique<CudaDevice>(index, absl::StrCat("cuda:", index, " ", properties.name), options);
    if (options.memory_at_start > 0 && !made->Reserve(static_cast<size_t>(options.memory_at_start))) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "cuda:", index, ": ", options.memory_at_start >> 20,
          " MiB are not free to be taken at the start; lower memory_at_start_mb, or find out who else uses "
          "this device"));
    }
    device = std::move(made);
    return absl::OkStatus();
  }));
  return device;
}

}  // namespace trireme

#else  // !TRIREME_CUDA

namespace trireme {

int CudaDeviceCount() { return 0; }

StatusOr<std::unique_ptr<Device>> MakeCudaDevice(int index, const DeviceOptions&) {
  return absl::FailedPreconditionError(
      absl::StrCat("cuda:", index, ": this build has no CUDA; build with --config=cuda, or use --device=cpu"));
}

}  // namespace trireme

#endif  // TRIREME_CUDA

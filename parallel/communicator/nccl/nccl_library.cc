#include "parallel/communicator/nccl/nccl_library.h"

#ifdef TRIREME_CUDA

#include <cuda_runtime.h>
#include <nccl.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>

#include "core/device/cuda/cuda_error.h"

namespace trireme {
namespace {

constexpr auto kDestroySeconds = std::chrono::seconds(5);

Status FromCuda(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();
  return StatusOfCuda(error, what, CurrentCudaPlace());
}

// NCCL's last error says more than the code, but is process-wide and may be empty.
Status FromNccl(ncclResult_t result, ncclComm_t comm = nullptr) {
  if (result == ncclSuccess || result == ncclInProgress) return absl::OkStatus();
  const char* detail = ncclGetLastError(comm);
  const std::string message = absl::StrCat("NCCL: ", ncclGetErrorString(result), detail != nullptr ? ": " : "",
                                           detail != nullptr ? detail : "", "; NCCL_DEBUG=WARN says more");
  if (result == ncclUnhandledCudaError) {
    return absl::UnavailableError(
        absl::StrCat(message, "; this process's GPU may have failed or be gone, which nvidia-smi ",
                     "and the system's log tell; start the job again, --resume goes on from ", "the last checkpoint"));
  }
  if (result == ncclRemoteError || result == ncclSystemError) return absl::UnavailableError(message);
  return absl::InternalError(message);
}

ncclDataType_t TypeOf(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return ncclFloat32;
    case DataType::kFloat64:
      return ncclFloat64;
    case DataType::kInt32:
      return ncclInt32;
    case DataType::kInt64:
      return ncclInt64;
    case DataType::kBfloat16:
      return ncclBfloat16;
    case DataType::kFloat16:
      return ncclFloat16;
    case DataType::kUint8:
      return ncclUint8;
  }
  LOG(FATAL) << "no type of a tensor";
  return ncclUint8;
}

ncclRedOp_t OperationOf(ReduceOperation operation) { return operation == ReduceOperation::kSum ? ncclSum : ncclMax; }

cudaStream_t NativeOf(Stream& stream) { return static_cast<cudaStream_t>(stream.native()); }

ncclComm_t CommOf(NcclLibrary::Channel channel) { return static_cast<ncclComm_t>(channel); }

class SystemNcclLibrary : public NcclLibrary {
 public:
  StatusOr<std::string> NewId() override {
    ncclUniqueId id;
    TRIREME_RETURN_IF_ERROR(FromNccl(ncclGetUniqueId(&id)));
    return std::string(id.internal, sizeof(id.internal));
  }

  StatusOr<Gpu> GpuOfThisThread() override {
    int device = 0;
    TRIREME_RETURN_IF_ERROR(FromCuda(cudaGetDevice(&device), "asking for this thread's GPU"));
    cudaDeviceProp properties;
    TRIREME_RETURN_IF_ERROR(FromCuda(cudaGetDeviceProperties(&properties, device), "asking for the GPU's properties"));
    char bus[32] = {}, host[256] = {};
    TRIREME_RETURN_IF_ERROR(FromCuda(cudaDeviceGetPCIBusId(bus, sizeof(bus), device), "asking for the GPU's place"));
    gethostname(host, sizeof(host) - 1);
    std::string boot;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
    // Parts of one GPU (MIG) share the place and have identities of their own.
    const std::string uuid(properties.uuid.bytes, sizeof(properties.uuid.bytes));
    return Gpu{absl::StrCat(boot, " ", bus, " ", uuid),
               absl::StrCat("cuda:", device, " ", properties.name, " (", bus, ") of ", host)};
  }

  std::string version() override {
    int code = 0;
    if (ncclGetVersion(&code) != ncclSuccess) return "unknown";
    return absl::StrCat(code / 10000, ".", code / 100 % 100, ".", code % 100);
  }

  Status Join(const std::string& id, int rank, int size, Channel* channel) override {
    ncclUniqueId unique;
    if (id.size() != sizeof(unique.internal)) {
      return absl::InternalError(absl::StrCat("an NCCL id of ", id.size(), " bytes instead of ",
                                              sizeof(unique.internal), "; use one version of NCCL on all hosts"));
    }
    std::memcpy(unique.internal, id.data(), id.size());
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t comm = nullptr;
    const ncclResult_t result = ncclCommInitRankConfig(&comm, size, unique, rank, &config);
    *channel = comm;
    return FromNccl(result);
  }
  Status Split(Channel parent, int place, Channel* child) override {
    static_assert(sizeof(Channel) == sizeof(ncclComm_t), "a channel holds a communicator");
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const int color = place < 0 ? NCCL_SPLIT_NOCOLOR : 0;
    return FromNccl(ncclCommSplit(CommOf(parent), color, /*key=*/place, reinterpret_cast<ncclComm_t*>(child), &config),
                    CommOf(parent));
  }
  StatusOr<bool> IsReady(Channel channel) override {
    ncclResult_t state = ncclSuccess;
    TRIREME_RETURN_IF_ERROR(FromNccl(ncclCommGetAsyncError(CommOf(channel), &state), CommOf(channel)));
    TRIREME_RETURN_IF_ERROR(FromNccl(state, CommOf(channel)));
    return state == ncclSuccess;
  }

  Status AllReduce(Channel channel, void* data, int64_t count, DataType type, ReduceOperation operation,
                   Stream& stream) override {
    return FromNccl(ncclAllReduce(data, data, static_cast<size_t>(count), TypeOf(type), OperationOf(operation),
                                  CommOf(channel), NativeOf(stream)),
                    CommOf(channel));
  }
  Status ReduceScatter(Channel channel, const void* all, void* part, int64_t count, DataType type,
                       ReduceOperation operation, Stream& stream) override {
    return FromNccl(ncclReduceScatter(all, part, static_cast<size_t>(count), TypeOf(type), OperationOf(operation),
                                      CommOf(channel), NativeOf(stream)),
                    CommOf(channel));
  }
  Status AllGather(Channel channel, const void* part, void* all, int64_t part_bytes, Stream& stream) override {
    return FromNccl(
        ncclAllGather(part, all, static_cast<size_t>(part_bytes), ncclUint8, CommOf(channel), NativeOf(stream)),
        CommOf(channel));
  }
  Status Broadcast(Channel channel, void* data, int64_t bytes, int root, Stream& stream) override {
    return FromNccl(
        ncclBroadcast(data, data, static_cast<size_t>(bytes), ncclUint8, root, CommOf(channel), NativeOf(stream)),
        CommOf(channel));
  }
  Status SendReceive(Channel channel, const void* sent, int64_t sent_bytes, int to, void* received,
                     int64_t received_bytes, int from, Stream& stream) override {
    TRIREME_RETURN_IF_ERROR(FromNccl(ncclGroupStart()));
    ncclResult_t result = ncclSuccess;
    if (to >= 0) {
      result = ncclSend(sent, static_cast<size_t>(sent_bytes), ncclUint8, to, CommOf(channel), NativeOf(stream));
    }
    if (from >= 0 && (result == ncclSuccess || result == ncclInProgress)) {
      result =
          ncclRecv(received, static_cast<size_t>(received_bytes), ncclUint8, from, CommOf(channel), NativeOf(stream));
    }
    // The group has to end whatever became of its parts.
    const ncclResult_t ended = ncclGroupEnd();
    TRIREME_RETURN_IF_ERROR(FromNccl(result, CommOf(channel)));
    return FromNccl(ended, CommOf(channel));
  }

  void Abort(Channel channel) override { ncclCommAbort(CommOf(channel)); }
  void Destroy(Channel channel) override {
    const ncclComm_t comm = CommOf(channel);
    const auto deadline = std::chrono::steady_clock::now() + kDestroySeconds;
    ncclResult_t state = ncclCommFinalize(comm);
    while (state == ncclSuccess || state == ncclInProgress) {
      if (ncclCommGetAsyncError(comm, &state) != ncclSuccess || state != ncclInProgress) break;
      if (std::chrono::steady_clock::now() > deadline) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (state == ncclSuccess) {
      ncclCommDestroy(comm);
    } else {
      ncclCommAbort(comm);
    }
  }

  StatusOr<std::shared_ptr<void>> NewSharedMemory(size_t bytes) override {
    void* pointer = nullptr;
    TRIREME_RETURN_IF_ERROR(FromCuda(cudaHostAlloc(&pointer, bytes, cudaHostAllocPortable | cudaHostAllocMapped),
                                     "allocating page-locked memory"));
    std::memset(pointer, 0, bytes);
    return std::shared_ptr<void>(pointer, [](void* p) { cudaFreeHost(p); });
  }
  StatusOr<std::shared_ptr<void>> NewDeviceMemory(size_t bytes) override {
    void* pointer = nullptr;
    TRIREME_RETURN_IF_ERROR(FromCuda(cudaMalloc(&pointer, bytes), "allocating memory"));
    std::shared_ptr<void> memory(pointer, [](void* p) { cudaFree(p); });
    TRIREME_RETURN_IF_ERROR(FromCuda(cudaMemset(pointer, 0, bytes), "filling memory"));
    // The host need not have waited for it, nor do the streams that the memory is for.
    TRIREME_RETURN_IF_ERROR(FromCuda(cudaStreamSynchronize(cudaStreamLegacy), "filling memory"));
    return memory;
  }
};

}  // namespace

StatusOr<NcclLibrary*> SystemNccl() {
  static NcclLibrary* const library = new SystemNcclLibrary;
  return library;
}

}  // namespace trireme

#else  // !TRIREME_CUDA

namespace trireme {

StatusOr<NcclLibrary*> SystemNccl() {
  return absl::FailedPreconditionError(
      "this build has no CUDA, and so no NCCL; build with --config=cuda, or use [communicator/threads]");
}

}  // namespace trireme

#endif  // TRIREME_CUDA

// The functions of the CUDA runtime that Trireme calls. A program's own come before those of libcudart.so.
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/gpu/stand_in/state.h"

using trireme::testing::kStandInDevices;
using trireme::testing::StandIn;
using trireme::testing::StandInCall;
using trireme::testing::StandInCapture;
using trireme::testing::StandInCaptureMode;
using trireme::testing::StandInCaptureOfThread;
using trireme::testing::StandInCurrentDevice;
using trireme::testing::StandInEvent;
using trireme::testing::StandInGraph;
using trireme::testing::StandInLastError;
using trireme::testing::StandInStream;
using trireme::testing::StandInWork;

namespace {

// Does the work, or adds it to the stream's capture. The stream's owner is its user, so work may be done under the
// lock.
cudaError_t Enqueue(StandInCall& call, cudaStream_t handle, StandInWork work) {
  StandInStream* const stream = StandIn().streams.Find(handle);
  if (stream == nullptr) return call.Refuse(cudaErrorInvalidResourceHandle);
  if (stream->capture == nullptr) {
    if (work != nullptr) work();
    return cudaSuccess;
  }
  if (stream->capture->spoilt) return call.Refuse(cudaErrorStreamCaptureInvalidated);
  StandIn().streams.ForEach([&](StandInStream& other) {
    if (&other != stream) other.covered.erase(handle);
  });
  stream->covered.insert(handle);
  if (work != nullptr) stream->capture->work.push_back(std::move(work));
  return cudaSuccess;
}

cudaError_t Launch(StandInCall& call, dim3 grid, dim3 block, cudaStream_t handle) {
  const StandInStream* const stream = StandIn().streams.Find(handle);
  if (stream == nullptr || stream->device != StandInCurrentDevice()) {
    return call.Refuse(cudaErrorInvalidResourceHandle);
  }
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.x > 0x7fffffffu || grid.y == 0 ||
      grid.y > 65535 || grid.z == 0 || grid.z > 65535) {
    return call.Refuse(cudaErrorInvalidConfiguration);
  }
  return Enqueue(call, handle, nullptr);
}

}  // namespace

#define TRIREME_STAND_IN_CALL() \
  StandInCall call(__func__);   \
  if (call.error() != cudaSuccess) return call.error()

extern "C" {

cudaError_t cudaGetLastError() { return std::exchange(StandInLastError(), cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return StandInLastError(); }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }

cudaError_t cudaGetDeviceCount(int* count) {
  TRIREME_STAND_IN_CALL();
  *count = kStandInDevices;
  return cudaSuccess;
}
cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  TRIREME_STAND_IN_CALL();
  return device < kStandInDevices ? cudaSuccess : call.Refuse(cudaErrorInvalidDevice);
}
cudaError_t cudaSetDevice(int device) {
  TRIREME_STAND_IN_CALL();
  if (device >= kStandInDevices) return call.Refuse(cudaErrorInvalidDevice);
  StandInCurrentDevice() = device;
  return cudaSuccess;
}
// Asks no device.
cudaError_t cudaGetDevice(int* device) {
  *device = StandInCurrentDevice();
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  TRIREME_STAND_IN_CALL();
  *properties = cudaDeviceProp{};
  std::strcpy(properties->name, "Stand-in");
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  TRIREME_STAND_IN_CALL();
  *value = 9;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  TRIREME_STAND_IN_CALL();
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  TRIREME_STAND_IN_CALL();
  return call.CheckNotCapturing();
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  TRIREME_STAND_IN_CALL();
  *attributes = cudaFuncAttributes{};
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  TRIREME_STAND_IN_CALL();
  *free = *total = size_t{1} << 30;
  return cudaSuccess;
}

// What is new is zero, for kernels write nothing.
cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  TRIREME_STAND_IN_CALL();
  if (const cudaError_t error = call.CheckNotCapturing()) return error;
  void* block = nullptr;
  if (posix_memalign(&block, 512, bytes) != 0) return StandInLastError() = cudaErrorMemoryAllocation;
  StandIn().device_blocks.insert(*pointer = std::memset(block, 0, bytes));
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  TRIREME_STAND_IN_CALL();
  if (const cudaError_t error = call.CheckNotCapturing()) return error;
  void* block = nullptr;
  if (posix_memalign(&block, 512, bytes) != 0) return StandInLastError() = cudaErrorMemoryAllocation;
  StandIn().host_blocks.insert(*pointer = std::memset(block, 0, bytes));
  return cudaSuccess;
}
// These two, and what destroys, do so though they fail: nobody could try again.
cudaError_t cudaFree(void* pointer) {
  StandInCall call(__func__);
  if (StandIn().device_blocks.erase(pointer) == 0) return call.Refuse(cudaErrorInvalidValue);
  std::free(pointer);
  return call.error() != cudaSuccess ? call.error() : call.CheckNotCapturing();
}
cudaError_t cudaFreeHost(void* pointer) {
  StandInCall call(__func__);
  if (StandIn().host_blocks.erase(pointer) == 0) return call.Refuse(cudaErrorInvalidValue);
  std::free(pointer);
  return call.error() != cudaSuccess ? call.error() : call.CheckNotCapturing();
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  TRIREME_STAND_IN_CALL();
  return Enqueue(call, stream, [=] { std::memcpy(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  TRIREME_STAND_IN_CALL();
  return Enqueue(call, stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  TRIREME_STAND_IN_CALL();
  StandInStream* const made = StandIn().streams.Add();
  made->device = StandInCurrentDevice();
  *stream = reinterpret_cast<cudaStream_t>(made);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  StandInCall call(__func__);
  return StandIn().streams.Remove(stream) ? call.error() : call.Refuse(cudaErrorInvalidResourceHandle);
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  TRIREME_STAND_IN_CALL();
  const StandInStream* const stream = StandIn().streams.Find(handle);
  if (stream == nullptr) return call.Refuse(cudaErrorInvalidResourceHandle);
  if (stream->capture == nullptr) return cudaSuccess;
  return call.Refuse(cudaErrorStreamCaptureUnsupported, stream->capture);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t of_event, unsigned) {
  TRIREME_STAND_IN_CALL();
  StandInStream* const stream = StandIn().streams.Find(handle);
  StandInEvent* const event = StandIn().events.Find(of_event);
  if (stream == nullptr || event == nullptr) return call.Refuse(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr && event->capture != stream->capture) {
    return call.Refuse(cudaErrorStreamCaptureIsolation, stream->capture);
  }
  if (event->capture == nullptr) return cudaSuccess;
  if (event->capture->over) return call.Refuse(cudaErrorCapturedEvent);
  stream->capture = event->capture;
  stream->covered.insert(event->covered.begin(), event->covered.end());
  return Enqueue(call, handle, nullptr);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  TRIREME_STAND_IN_CALL();
  const StandInStream* const stream = StandIn().streams.Find(handle);
  if (stream == nullptr) return call.Refuse(cudaErrorInvalidResourceHandle);
  *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->spoilt  ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
// A host function may call CUDA as little as here.
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  TRIREME_STAND_IN_CALL();
  return Enqueue(call, stream, [=] { function(argument); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  TRIREME_STAND_IN_CALL();
  StandInEvent* const made = StandIn().events.Add();
  made->device = StandInCurrentDevice();
  *event = reinterpret_cast<cudaEvent_t>(made);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  StandInCall call(__func__);
  return StandIn().events.Remove(event) ? call.error() : call.Refuse(cudaErrorInvalidResourceHandle);
}
cudaError_t cudaEventRecord(cudaEvent_t of_event, cudaStream_t handle) {
  TRIREME_STAND_IN_CALL();
  const StandInStream* const stream = StandIn().streams.Find(handle);
  StandInEvent* const event = StandIn().events.Find(of_event);
  if (stream == nullptr || event == nullptr || event->device != stream->device) {
    return call.Refuse(cudaErrorInvalidResourceHandle);
  }
  event->capture = stream->capture;
  event->covered = stream->covered;
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  TRIREME_STAND_IN_CALL();
  const StandInEvent* const event = StandIn().events.Find(handle);
  if (event == nullptr) return call.Refuse(cudaErrorInvalidResourceHandle);
  return event->capture == nullptr ? cudaSuccess : call.Refuse(cudaErrorCapturedEvent, event->capture);
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, StandInCaptureMode());
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode) {
  TRIREME_STAND_IN_CALL();
  StandInStream* const stream = StandIn().streams.Find(handle);
  if (stream == nullptr || stream->capture != nullptr) return call.Refuse(cudaErrorIllegalState);
  stream->capture = StandInCaptureOfThread() = std::make_shared<StandInCapture>();
  stream->began = true;
  stream->covered = {handle};
  return cudaSuccess;
}
// Ends the capture though it fails, as CUDA does.
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  StandInCall call(__func__);
  StandInStream* const stream = StandIn().streams.Find(handle);
  if (stream == nullptr || !stream->began) return call.Refuse(cudaErrorIllegalState);
  const std::shared_ptr<StandInCapture> capture = std::move(stream->capture);
  const std::set<const void*> covered = std::move(stream->covered);
  stream->capture = StandInCaptureOfThread() = nullptr;
  stream->began = false;
  capture->over = true;
  bool joined = true;
  StandIn().streams.ForEach([&](StandInStream& other) {
    if (other.capture != capture) return;
    joined = joined && covered.count(&other) > 0;
    other.capture = nullptr;
    other.covered.clear();
  });
  if (call.error() != cudaSuccess) return call.error();
  if (capture->spoilt) return call.Refuse(cudaErrorStreamCaptureInvalidated);
  if (!joined) return call.Refuse(cudaErrorStreamCaptureUnjoined);
  StandInGraph* const made = StandIn().graphs.Add();
  made->work = capture->work;
  *graph = reinterpret_cast<cudaGraph_t>(made);
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle, unsigned long long) {
  TRIREME_STAND_IN_CALL();
  const StandInGraph* const graph = StandIn().graphs.Find(handle);
  if (graph == nullptr) return call.Refuse(cudaErrorInvalidValue);
  StandInGraph* const made = StandIn().executables.Add();
  made->work = graph->work;
  *executable = reinterpret_cast<cudaGraphExec_t>(made);
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t) {
  TRIREME_STAND_IN_CALL();
  return StandIn().executables.Find(handle) != nullptr ? cudaSuccess : call.Refuse(cudaErrorInvalidValue);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream) {
  TRIREME_STAND_IN_CALL();
  const StandInGraph* const graph = StandIn().executables.Find(handle);
  if (graph == nullptr) return call.Refuse(cudaErrorInvalidValue);
  ++StandIn().graph_launches;
  return Enqueue(call, stream, [graph] {
    for (const StandInWork& work : graph->work) work();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  StandInCall call(__func__);
  return StandIn().graphs.Remove(handle) ? call.error() : call.Refuse(cudaErrorInvalidValue);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  StandInCall call(__func__);
  return StandIn().executables.Remove(handle) ? call.error() : call.Refuse(cudaErrorInvalidValue);
}

// What nvcc makes of <<<>>>.
cudaError_t cudaLaunchKernel(const void*, dim3 grid, dim3 block, void**, size_t, cudaStream_t stream) {
  TRIREME_STAND_IN_CALL();
  return Launch(call, grid, block, stream);
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3 grid, dim3 block, void**, size_t, cudaStream_t stream) {
  StandInCall call("cudaLaunchKernel");
  if (call.error() != cudaSuccess) return call.error();
  return Launch(call, grid, block, stream);
}

}  // extern "C"

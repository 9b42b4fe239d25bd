// CUDA's streams and events, and what they have to know about a capture.
#ifndef TRIREME_CORE_DEVICE_CUDA_CUDA_STREAM_H_
#define TRIREME_CORE_DEVICE_CUDA_CUDA_STREAM_H_

#ifdef TRIREME_CUDA

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/device/device.h"

namespace trireme {

using HostWork = std::vector<std::unique_ptr<std::function<void()>>>;

// What the streams of one device share. Thread-safe.
class CudaStreamState {
 public:
  // Between these two the calling thread captures.
  void BeginCapture();
  // Returns the host's work that was captured, which the graph has to keep.
  HostWork EndCapture();
  bool IsCapturing() const;
  bool IsCapturingByThisThread() const;
  // FailedPrecondition in the thread that captures.
  void RefuseToWaitInCapture() const;
  void KeepForGraph(std::unique_ptr<std::function<void()>> work);

  // Host work may not throw into CUDA's thread: its fault is kept, and the next wait throws it.
  void KeepFault(const Status& status);
  void ThrowFault() const;

 private:
  mutable std::mutex mutex_;
  bool capturing_ = false;
  std::thread::id thread_;
  HostWork captured_work_;
  Status fault_;
};

class CudaEvent : public Event {
 public:
  explicit CudaEvent(std::shared_ptr<CudaStreamState> state);
  ~CudaEvent() override;
  void Synchronize() override;
  cudaEvent_t get() const { return event_; }

 private:
  const std::shared_ptr<CudaStreamState> state_;
  cudaEvent_t event_ = nullptr;
};

class CudaStream : public Stream {
 public:
  // `urgent`: its kernels and copies go before those of streams that are not, where the device has to choose.
  CudaStream(Device& device, std::shared_ptr<CudaStreamState> state, bool urgent);
  ~CudaStream() override;
  Device& device() override { return device_; }
  void Enqueue(std::function<void()> work) override;
  void Record(Event& event) override;
  void Wait(Event& event) override;
  void Synchronize() override;
  void* native() override { return stream_; }
  cudaStream_t get() const { return stream_; }

 private:
  Device& device_;
  const std::shared_ptr<CudaStreamState> state_;
  cudaStream_t stream_ = nullptr;
};

}  // namespace trireme

#endif  // TRIREME_CUDA

#endif  // TRIREME_CORE_DEVICE_CUDA_CUDA_STREAM_H_

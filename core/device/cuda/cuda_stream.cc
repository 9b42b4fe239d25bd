#include "core/device/cuda/cuda_stream.h"

#ifdef TRIREME_CUDA

#include <exception>
#include <utility>

#include "core/device/cuda/cuda_error.h"

namespace trireme {
void CudaStreamState::BeginCapture() {
  std::lock_guard<std::mutex> lock(mutex_);
  capturing_ = true;
  thread_ = std::this_thread::get_id();
}

HostWork CudaStreamState::EndCapture() {
  std::lock_guard<std::mutex> lock(mutex_);
  capturing_ = false;
  return std::exchange(captured_work_, {});
}

bool CudaStreamState::IsCapturing() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return capturing_;
}

bool CudaStreamState::IsCapturingByThisThread() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return capturing_ && thread_ == std::this_thread::get_id();
}

void CudaStreamState::RefuseToWaitInCapture() const {
  if (!IsCapturingByThisThread()) return;
  throw DeviceError(absl::FailedPreconditionError("the host waited for the device in the midst of a capture"));
}

void CudaStreamState::KeepForGraph(std::unique_ptr<std::function<void()>> work) {
  std::lock_guard<std::mutex> lock(mutex_);
  captured_work_.push_back(std::move(work));
}

void CudaStreamState::KeepFault(const Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (fault_.ok()) fault_ = status;
}

void CudaStreamState::ThrowFault() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!fault_.ok()) throw DeviceError(fault_);
}

CudaEvent::CudaEvent(std::shared_ptr<CudaStreamState> state) : state_(std::move(state)) {
  CheckCuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync), "creating an event");
}

CudaEvent::~CudaEvent() { cudaEventDestroy(event_); }

void CudaEvent::Synchronize() {
  state_->RefuseToWaitInCapture();
  CheckCuda(cudaEventSynchronize(event_), "waiting for an event");
  state_->ThrowFault();
}

CudaStream::CudaStream(Device& device, std::shared_ptr<CudaStreamState> state, bool urgent)
    : device_(device), state_(std::move(state)) {
  int least = 0, greatest = 0;
  CheckCuda(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking for the priorities of streams");
  CheckCuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, urgent ? greatest : least),
            "creating a stream");
}

CudaStream::~CudaStream() {
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

void CudaStream::Enqueue(std::function<void()> work) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (state_->IsCapturing()) CheckCuda(cudaStreamIsCapturing(stream_, &status), "enqueueing host work");
  const bool captured = status != cudaStreamCaptureStatusNone;
  auto held = std::make_unique<std::function<void()>>(std::move(work));
  // A captured call is made with every launch, so what it needs is kept with the graph.
  auto call = std::make_unique<std::function<void()>>();
  *call = [body = held.get(), state = state_] {
    try {
      (*body)();
    } catch (const DeviceError& error) {
      state->KeepFault(error.status());
    } catch (const std::exception& error) {
      state->KeepFault(absl::InternalError(absl::StrCat("host work failed: ", error.what())));
    }
  };
  if (captured) {
    CheckCuda(cudaLaunchHostFunc(
                  stream_, [](void* argument) { (*static_cast<std::function<void()>*>(argument))(); }, call.get()),
              "capturing host work");
    state_->KeepForGraph(std::move(held));
    state_->KeepForGraph(std::move(call));
    return;
  }
  struct Once {
    std::unique_ptr<std::function<void()>> held, call;
  };
  auto once = std::make_unique<Once>(Once{std::move(held), std::move(call)});
  CheckCuda(cudaLaunchHostFunc(
                stream_,
                [](void* argument) {
                  const std::unique_ptr<Once> owned(static_cast<Once*>(argument));
                  (*owned->call)();
                },
                once.get()),
            "enqueueing host work");
  once.release();
}

void CudaStream::Record(Event& event) {
  CheckCuda(cudaEventRecord(static_cast<CudaEvent&>(event).get(), stream_), "recording an event");
}

void CudaStream::Wait(Event& event) {
  CheckCuda(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).get(), 0), "waiting for an event");
}

void CudaStream::Synchronize() {
  state_->RefuseToWaitInCapture();
  CheckCuda(cudaStreamSynchronize(stream_), "waiting for a stream");
  state_->ThrowFault();
}

}  // namespace trireme

#endif  // TRIREME_CUDA

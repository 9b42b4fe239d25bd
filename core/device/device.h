// A Device is one accelerator, or this worker's share of the CPU: memory, and streams that run work in
// order. Every worker owns exactly one Device; nothing in it is shared between workers but what the
// hardware shares.
//
// Memory comes from a pool that is ordered by the device's compute stream: a block that is freed is
// handed out again for work that the compute stream does later. Memory used by another stream must
// live until an Event of that stream has been waited for (the arenas live as long as the worker).
//
// Capture: a step that enqueues the same work each time can be recorded once and launched as a whole (a CUDA
// graph). See Device::BeginCapture.
//
// Faults: factories return a status. Once a device exists, an allocation that fails or a kernel that
// the device reports as failed throws DeviceError, the only exception in Trireme: it unwinds one
// training step and the Trainer turns it into a status (CatchDeviceError below). Tools never see it.
#ifndef TRIREME_CORE_DEVICE_DEVICE_H_
#define TRIREME_CORE_DEVICE_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace trireme {

class Device;

enum class DeviceKind { kCpu, kCuda };

// What memory is for; peaks are reported by kind.
enum class MemoryKind { kParameters, kGradients, kOptimizer, kActivations };
inline constexpr int kNumMemoryKinds = 4;
const char* MemoryKindName(MemoryKind kind);

struct MemoryStats {
  int64_t in_use[kNumMemoryKinds] = {};  // bytes handed out now
  int64_t peak[kNumMemoryKinds] = {};    // the most of each kind at once
  int64_t peak_total = 0;                // the most of all kinds together
  int64_t reserved = 0;                  // bytes taken from the system, in use or kept for reuse
  int64_t limit = 0;                     // on `reserved`; 0: none
};

class DeviceError : public std::runtime_error {
 public:
  explicit DeviceError(Status status) : std::runtime_error(std::string(status.message())), status_(std::move(status)) {}
  const Status& status() const { return status_; }

 private:
  Status status_;
};

// Runs `work`, which returns a Status; a DeviceError from within becomes that status.
Status CatchDeviceError(const std::function<Status()>& work);

// A point in a stream, for other streams and the host to wait for. Recording again moves it. It may be
// destroyed before the streams have come to the point.
class Event {
 public:
  virtual ~Event() = default;
  // Blocks the host until the work before the recorded point is done; returns at once if never recorded.
  virtual void Synchronize() = 0;
};

// A queue of work that runs in order. Enqueueing may be done by one thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Device& device() = 0;
  // Runs `work` on the host when all earlier work of this stream is done. On CPU streams this is how
  // every kernel runs; on CUDA it is for the rare host step in between.
  virtual void Enqueue(std::function<void()> work) = 0;
  virtual void Record(Event& event) = 0;
  // Later work of this stream waits for the recorded point; the host does not.
  virtual void Wait(Event& event) = 0;
  // Blocks the host until all work enqueued so far is done.
  virtual void Synchronize() = 0;
  // The cudaStream_t of a CUDA stream; null on CPU.
  virtual void* native() { return nullptr; }
  // True if Enqueue runs the work before it returns (the CPU's compute stream).
  virtual bool is_inline() const { return false; }
};

// Work that was captured, to be run again as it was. Its memory is its own until it is destroyed.
class Graph {
 public:
  virtual ~Graph() = default;
  // Runs the work as part of the compute stream.
  virtual void Launch() = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  virtual DeviceKind kind() const = 0;
  // For people: "cpu (1 thread)", "cuda:0 NVIDIA H100".
  virtual std::string name() const = 0;
  // Threads that a CPU kernel of this worker may use; 1 on CUDA.
  virtual int threads() const = 0;

  // Makes this device the calling thread's own (its number of OpenMP threads, its CUDA device). Every
  // thread that enqueues work calls it first.
  virtual void BindToThisThread() = 0;

  // 64-byte aligned, uninitialised; throws DeviceError (ResourceExhausted) when there is none left.
  virtual void* Allocate(size_t bytes, MemoryKind kind) = 0;
  virtual void Free(void* pointer) = 0;
  virtual MemoryStats memory() const = 0;

  // Host memory that copies from and to this device need not wait for (page-locked on CUDA), 64-byte aligned and
  // uninitialised. It goes back when the last share does, which may not be before copies that use it are done; the
  // device outlives it.
  virtual std::shared_ptr<void> NewHostBuffer(size_t bytes) = 0;

  // The stream that kernels run on unless told otherwise. On CPU it runs work inline.
  virtual Stream& compute_stream() = 0;
  // A further stream that runs beside the compute stream; `name` shows in traces and debuggers.
  virtual std::unique_ptr<Stream> NewStream(const std::string& name) = 0;
  virtual std::unique_ptr<Event> NewEvent() = 0;

  // In stream order. `from` and `to` may each be host memory or this device's.
  virtual void Copy(void* to, const void* from, size_t bytes, Stream& stream) = 0;
  virtual void Fill(void* to, int byte, size_t bytes, Stream& stream) = 0;

  // Between BeginCapture and EndCapture, work that the compute stream is given is recorded instead of run, and so is
  // that of every other stream from where it waits for an event recorded in the capture; the compute stream has to wait
  // for each of these again before the end. Memory allocated in between stays at its addresses until the graph is
  // destroyed; its contents are whatever the last launch left. The calling thread's alone.
  //
  // What is baked in are addresses and arguments: what changes from step to step (the learning rate, a counter) has to
  // lie in the device's memory. Waiting on the host in between throws DeviceError (FailedPrecondition), as does
  // BeginCapture on a device that cannot capture.
  virtual bool can_capture() const { return false; }
  virtual void BeginCapture() {
    throw DeviceError(absl::FailedPreconditionError(absl::StrCat(name(), " cannot capture its work")));
  }
  virtual std::unique_ptr<Graph> EndCapture() { return nullptr; }
  // Forgets what was recorded; for what goes wrong in between.
  virtual void AbandonCapture() {}
};

struct DeviceOptions {
  // "cpu", "cuda", "cuda:1", or "auto": CUDA where the build and the machine have it, else CPU.
  std::string name = "auto";
  int threads = 0;              // of a CPU device; 0 takes all cores
  int64_t memory_limit = 0;     // bytes that the pool may take from the system; 0: all there is
  int64_t memory_at_start = 0;  // bytes of these that a GPU's pool takes before anything asks for them
  bool time_engines = false;    // of the ways that a GPU's library proposes for a layer, take what a clock says
};

// InvalidArgument for another name, FailedPrecondition with what to do if there is no such device.
StatusOr<std::unique_ptr<Device>> MakeDevice(const DeviceOptions& options);
StatusOr<std::unique_ptr<Device>> MakeDevice(absl::string_view name, int threads);

// GPUs that this build and this machine have: cuda:0 and so on.
int NumGpus();

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_DEVICE_H_

// A device that behaves as an accelerator does, on CPU: for tests of what orders streams, captures steps, or
// hands memory from one stream to another.
//
// It says it is a CPU, and its kernels are the CPU's. But no stream is inline: work waits in queues, nothing runs
// until the host waits for something, and then a scheduler that is seeded and means ill picks among the streams
// that can go on, in bursts, so that one runs far ahead of another wherever no event forbids it. Streams are ordered by
// events and by nothing else. A missing event, a host buffer that ends too early, memory that is freed under another
// stream's feet, a host that reads without waiting: each shows as a wrong result for some seeds. Run a test over a
// dozen of them.
//
//   * Copies from the host read it when they run, not when they are enqueued, as from page-locked memory.
//   * Memory is handed out again at once, as the device's pool does, and is filled with kPoison where the compute
//     stream comes to the point of its Free; so is a host buffer, the moment its last share goes.
//   * Capture keeps CUDA's rules. In between, host waits, waits for events recorded outside, and a launch throw
//     FailedPrecondition, and so does the end if another stream's work was not waited for. What was captured runs
//     again with every launch, on queues of its own. Memory allocated in between is the graph's; so is, from then on,
//     what was allocated before and freed in between.
//   * Each stream has a thread, and one of them runs at a time, except that a closure that takes long (one that waits
//     for another worker) does not keep the others from running. Several devices in several threads do not know of
//     one another, unless they were made to lie beside each other.
//   * Work that throws a DeviceError ends the device, as a sticky error does: no work runs after it, and every host
//     wait throws it.
//   * A call of the host can be told to fail, each in its turn: once, or as on a device that is gone, from then on.
//
// Work may allocate from the device while it runs (scratch memory); that comes from elsewhere.
#ifndef TRIREME_TESTS_CORE_TESTING_ASYNC_DEVICE_H_
#define TRIREME_TESTS_CORE_TESTING_ASYNC_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "core/device/device.h"

namespace trireme::testing {

// As a float 1.3e36, as a 16-bit float 61,280, as an integer 2,071,690,107.
inline constexpr unsigned char kPoison = 0x7b;

enum class AsyncOperation {
  kAllocate,
  kFree,
  kCopy,
  kFill,
  kRun,  // Enqueue, and so ParallelFor
  kRecord,
  kWait,
  kSynchronize,  // of a stream or an event
  kBeginCapture,
  kEndCapture,
  kLaunch,
};

// What the host asked for, in the order in which it did.
struct AsyncLogEntry {
  AsyncOperation operation;
  std::string stream;             // its name, "compute" for the compute stream; empty for the host's own
  bool captured = false;          // recorded into a graph, not run
  const void* pointer = nullptr;  // what is allocated, freed, filled or copied to
  int64_t bytes = 0;
  int event = -1;  // of kRecord, kWait and kSynchronize; events are numbered as they are made, from 0
};

// "copy on compute (captured)", for failure messages and for comparing orders.
std::string ToString(const AsyncLogEntry& entry);

struct AsyncDeviceOptions {
  uint64_t seed = 1;  // of the scheduler
  int threads = 1;    // of the compute stream
  bool record = false;
  bool can_capture = true;
  // A device on the same hardware, as those of several workers on one GPU: one scheduler runs the streams of both, and
  // each may wait for events of the other. Not needed any longer once this device is made.
  const class AsyncDevice* beside = nullptr;
  // The host's call of this number, counted from 1 over whatever may fail on a GPU, throws DeviceError (Unavailable,
  // kGone); 0: none. After it nothing runs any more, and all calls fail, unless the device `recovers`.
  int64_t fails_at = 0;
  bool recovers = false;
};

// What a call says that was told to fail.
inline constexpr char kGone[] = "the device fell off the bus";

class AsyncDevice : public Device {
 public:
  // Empty unless options.record.
  virtual std::vector<AsyncLogEntry> log() const = 0;
  virtual void ClearLog() = 0;
  // Runs all that is enqueued on any stream; throws as a host wait does.
  virtual void Drain() = 0;
  // Pieces of work that are enqueued and have not begun.
  virtual int64_t pending() const = 0;
  // Of the host so far, as `fails_at` counts them.
  virtual int64_t calls() const = 0;
};

std::unique_ptr<AsyncDevice> MakeAsyncDevice(const AsyncDeviceOptions& options = {});

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_ASYNC_DEVICE_H_

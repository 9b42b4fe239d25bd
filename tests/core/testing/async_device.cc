#include "tests/core/testing/async_device.h"

#include <glog/logging.h>
#include <omp.h>

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/core/testing/async_capture.h"
#include "tests/core/testing/async_memory.h"
#include "tests/core/testing/async_scheduler.h"

namespace trireme::testing {
namespace {

using Work = std::function<void()>;

[[noreturn]] void ThrowPrecondition(absl::string_view message) {
  throw DeviceError(absl::FailedPreconditionError(message));
}

struct AsyncEvent : Event {
  AsyncEvent(class FakeDevice& d, int i) : device(d), id(i) {}
  void Synchronize() override;

  class FakeDevice& device;
  const int id;
  std::shared_ptr<Recording> recording;  // of the last recording outside captures; null before the first
  int capture = -1;                      // that the last recording was part of
  int point = -1;                        // in that capture
};

class AsyncStream : public Stream {
 public:
  AsyncStream(class FakeDevice& device, const std::string& name, int threads);
  ~AsyncStream() override;
  Device& device() override;
  void Enqueue(Work work) override;
  void Record(Event& event) override;
  void Wait(Event& event) override;
  void Synchronize() override;
  Lane* lane() const { return lane_; }

 private:
  class FakeDevice& device_;
  Lane* const lane_;
};

class FakeDevice : public AsyncDevice {
 public:
  explicit FakeDevice(const AsyncDeviceOptions& options)
      : options_(options),
        scheduler_(options.beside != nullptr ? static_cast<const FakeDevice*>(options.beside)->scheduler_
                                             : std::make_shared<AsyncScheduler>(options.seed)),
        compute_(*this, "compute", options.threads) {}
  ~FakeDevice() override {
    AbandonCapture();
    // Its further streams have ended; those of devices beside it go on.
    const auto recording = std::make_shared<Recording>();
    scheduler_->Push(compute_.lane(), {nullptr, recording, nullptr});
    scheduler_->RunUntil(recording).IgnoreError();
    for (void* buffer : old_host_buffers_) ::operator delete(buffer, std::align_val_t(64));
  }

  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::string name() const override { return absl::StrCat("asynchronous cpu (seed ", options_.seed, ")"); }
  int threads() const override { return options_.threads; }
  void BindToThisThread() override {
    Call();
    omp_set_num_threads(options_.threads);
  }

  void* Allocate(size_t bytes, MemoryKind kind) override;
  void Free(void* pointer) override;
  MemoryStats memory() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return memory_.stats();
  }
  std::shared_ptr<void> NewHostBuffer(size_t bytes) override;

  Stream& compute_stream() override { return compute_; }
  std::unique_ptr<Stream> NewStream(const std::string& name) override {
    Call();
    return std::make_unique<AsyncStream>(*this, name, 1);
  }
  std::unique_ptr<Event> NewEvent() override {
    Call();
    std::lock_guard<std::mutex> lock(mutex_);
    return std::make_unique<AsyncEvent>(*this, num_events_++);
  }

  void Copy(void* to, const void* from, size_t bytes, Stream& stream) override {
    Enqueue(AsyncOperation::kCopy, Of(stream), to, bytes, [=] {
      if (bytes > 0) std::memcpy(to, from, bytes);
    });
  }
  void Fill(void* to, int byte, size_t bytes, Stream& stream) override {
    Enqueue(AsyncOperation::kFill, Of(stream), to, bytes, [=] {
      if (bytes > 0) std::memset(to, byte, bytes);
    });
  }

  bool can_capture() const override { return options_.can_capture; }
  void BeginCapture() override;
  std::unique_ptr<Graph> EndCapture() override;
  void AbandonCapture() override;

  std::vector<AsyncLogEntry> log() const override {
    std::lock_guard<std::mutex> lock(mutex_);
    return log_;
  }
  void ClearLog() override {
    std::lock_guard<std::mutex> lock(mutex_);
    log_.clear();
  }
  void Drain() override {
    RefuseToWaitInCapture(nullptr, false);
    Throw(scheduler_->Drain());
  }
  int64_t pending() const override { return scheduler_->pending(); }
  int64_t calls() const override { return calls_; }

  // For streams, events and graphs.
  void Enqueue(AsyncOperation operation, Lane* lane, const void* pointer, size_t bytes, Work work);
  void Record(Lane* lane, AsyncEvent& event);
  void Wait(Lane* lane, AsyncEvent& event);
  void Synchronize(Lane* lane);
  void Synchronize(AsyncEvent& event);
  void Launch(const AsyncCapture& captured, const std::vector<Lane*>& lanes);
  void ReleaseMemory(int capture);
  AsyncScheduler& scheduler() { return *scheduler_; }

 private:
  // At the start of whatever may fail on a GPU.
  void Call();
  static Lane* Of(Stream& stream) { return static_cast<AsyncStream&>(stream).lane(); }
  static void Throw(const Status& status) {
    if (!status.ok()) throw DeviceError(status);
  }
  void Log(AsyncOperation operation, const Lane* lane, const void* pointer = nullptr, size_t bytes = 0,
           int event = -1) {
    if (!options_.record) return;
    log_.push_back({operation, lane != nullptr ? lane->name : "", lane != nullptr && IsCapturing(lane), pointer,
                    static_cast<int64_t>(bytes), event});
  }
  bool IsCapturing(const Lane* lane) const { return capture_ != nullptr && capture_->Holds(lane); }
  // `waits_for_captured`: for a point that is being captured, which no thread may wait for.
  void RefuseToWaitInCapture(const Lane* lane, bool waits_for_captured);
  Work Poison(void* pointer, size_t bytes) {
    return [=] { std::memset(pointer, kPoison, bytes); };
  }

  const AsyncDeviceOptions options_;
  mutable std::mutex mutex_;  // taken before the scheduler's
  AsyncMemory memory_;
  std::map<void*, size_t> scratch_;  // allocated by work that runs
  std::vector<void*> old_host_buffers_;
  std::vector<AsyncLogEntry> log_;
  std::unique_ptr<AsyncCapture> capture_;
  int num_events_ = 0;
  int num_captures_ = 0;
  std::atomic<int64_t> calls_{0};
  const std::shared_ptr<AsyncScheduler> scheduler_;
  AsyncStream compute_;
};

class AsyncGraph : public Graph {
 public:
  AsyncGraph(FakeDevice& device, Lane* compute, std::unique_ptr<AsyncCapture> captured)
      : device_(device), captured_(std::move(captured)) {
    lanes_.push_back(compute);
    for (size_t line = 1; line < captured_->names().size(); ++line) {
      lanes_.push_back(device.scheduler().AddLane(absl::StrCat(captured_->names()[line], " in a graph"), 1));
    }
  }
  ~AsyncGraph() override {
    for (size_t line = 1; line < lanes_.size(); ++line) device_.scheduler().RemoveLane(lanes_[line]);
    const int id = captured_->id();
    captured_ = nullptr;  // frees the tensors that work holds
    device_.ReleaseMemory(id);
  }
  void Launch() override { device_.Launch(*captured_, lanes_); }

 private:
  FakeDevice& device_;
  std::unique_ptr<AsyncCapture> captured_;
  std::vector<Lane*> lanes_;
};

void AsyncEvent::Synchronize() { device.Synchronize(*this); }

AsyncStream::AsyncStream(FakeDevice& device, const std::string& name, int threads)
    : device_(device), lane_(device.scheduler().AddLane(name, threads)) {}
AsyncStream::~AsyncStream() { device_.scheduler().RemoveLane(lane_); }
Device& AsyncStream::device() { return device_; }
void AsyncStream::Enqueue(Work work) { device_.Enqueue(AsyncOperation::kRun, lane_, nullptr, 0, std::move(work)); }
void AsyncStream::Record(Event& event) { device_.Record(lane_, static_cast<AsyncEvent&>(event)); }
void AsyncStream::Wait(Event& event) { device_.Wait(lane_, static_cast<AsyncEvent&>(event)); }
void AsyncStream::Synchronize() { device_.Synchronize(lane_); }

void FakeDevice::Call() {
  if (AsyncScheduler::IsWithinWork()) return;
  const int64_t call = ++calls_;
  if (options_.fails_at == 0 || call < options_.fails_at || (options_.recovers && call > options_.fails_at)) return;
  const Status gone = absl::UnavailableError(kGone);
  if (!options_.recovers) scheduler_->Fail(gone);
  throw DeviceError(gone);
}

void* FakeDevice::Allocate(size_t bytes, MemoryKind kind) {
  Call();
  std::lock_guard<std::mutex> lock(mutex_);
  if (AsyncScheduler::IsWithinWork()) {
    // What is free for the host's later work may be in use by work that is still to run.
    void* pointer = ::operator new(bytes + 64, std::align_val_t(64));
    std::memset(pointer, kPoison, bytes);
    scratch_[pointer] = bytes;
    return pointer;
  }
  const bool capturing = capture_ != nullptr && capture_->is_by_this_thread();
  void* pointer = memory_.Allocate(bytes, kind, capturing ? capture_->id() : 0);
  Log(AsyncOperation::kAllocate, nullptr, pointer, bytes);
  return pointer;
}

void FakeDevice::Free(void* pointer) {
  if (pointer == nullptr) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto scratch = scratch_.find(pointer);
  if (scratch != scratch_.end()) {
    const Work end = [pointer, bytes = scratch->second] {
      std::memset(pointer, kPoison, bytes);
      ::operator delete(pointer, std::align_val_t(64));
    };
    scratch_.erase(scratch);
    if (AsyncScheduler::IsWithinWork()) {
      end();
    } else {
      scheduler_->Push(compute_.lane(), {end, nullptr, nullptr});
    }
    return;
  }
  const int pool = memory_.PoolOf(pointer);
  const size_t bytes = memory_.CapacityOf(pointer);
  Log(AsyncOperation::kFree, nullptr, pointer, bytes);
  const bool capturing = capture_ != nullptr && capture_->is_by_this_thread();
  if (pool == 0 && capturing) {
    memory_.Free(pointer, capture_->id(), false);  // the captured work may use it whenever it is launched
  } else if (pool == 0) {
    scheduler_->Push(compute_.lane(), {Poison(pointer, bytes), nullptr, nullptr});
    memory_.Free(pointer, 0, true);
  } else if (capturing && pool == capture_->id()) {
    capture_->Run(compute_.lane(), Poison(pointer, bytes));
    memory_.Free(pointer, pool, true);
  } else {
    memory_.Free(pointer, pool, false);
  }
}

void FakeDevice::ReleaseMemory(int capture) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [pointer, bytes] : memory_.Release(capture)) {
    scheduler_->Push(compute_.lane(), {Poison(pointer, bytes), nullptr, nullptr});
  }
}

std::shared_ptr<void> FakeDevice::NewHostBuffer(size_t bytes) {
  Call();
  void* pointer = ::operator new(bytes + 64, std::align_val_t(64));
  std::memset(pointer, kPoison, bytes);
  return {pointer, [this, bytes](void* p) {
            std::memset(p, kPoison, bytes);
            std::lock_guard<std::mutex> lock(mutex_);
            old_host_buffers_.push_back(p);
          }};
}

void FakeDevice::Enqueue(AsyncOperation operation, Lane* lane, const void* pointer, size_t bytes, Work work) {
  Call();
  std::lock_guard<std::mutex> lock(mutex_);
  Log(operation, lane, pointer, bytes);
  if (IsCapturing(lane)) {
    capture_->Run(lane, std::move(work));
  } else {
    scheduler_->Push(lane, {std::move(work), nullptr, nullptr});
  }
}

void FakeDevice::Record(Lane* lane, AsyncEvent& event) {
  Call();
  std::lock_guard<std::mutex> lock(mutex_);
  Log(AsyncOperation::kRecord, lane, nullptr, 0, event.id);
  if (IsCapturing(lane)) {
    event.capture = capture_->id();
    event.point = capture_->Record(lane);
    return;
  }
  event.capture = event.point = -1;
  event.recording = std::make_shared<Recording>();
  scheduler_->Push(lane, {nullptr, event.recording, nullptr});
}

void FakeDevice::Wait(Lane* lane, AsyncEvent& event) {
  Call();
  std::lock_guard<std::mutex> lock(mutex_);
  const bool captured = capture_ != nullptr && event.capture == capture_->id();
  if (captured && !IsCapturing(lane)) capture_->Join(lane);
  Log(AsyncOperation::kWait, lane, nullptr, 0, event.id);
  if (captured) {
    capture_->Wait(lane, event.point);
  } else if (IsCapturing(lane)) {
    throw DeviceError(capture_->Spoil(
        absl::FailedPreconditionError(absl::StrCat("stream ", lane->name, " is being captured and waits for event ",
                                                   event.id, ", which was not recorded in the capture"))));
  } else if (event.capture >= 0) {
    ThrowPrecondition(absl::StrCat("stream ", lane->name, " waits for event ", event.id,
                                   ", which was recorded in a capture that is over"));
  } else if (event.recording != nullptr) {
    scheduler_->Push(lane, {nullptr, nullptr, event.recording});
  }
}

void FakeDevice::RefuseToWaitInCapture(const Lane* lane, bool waits_for_captured) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (capture_ == nullptr) return;
  if (!capture_->is_by_this_thread() && !waits_for_captured && (lane == nullptr || !capture_->Holds(lane))) return;
  throw DeviceError(capture_->Spoil(absl::FailedPreconditionError("the host waited in the midst of a capture")));
}

void FakeDevice::Synchronize(Lane* lane) {
  if (!options_.recovers) Call();
  RefuseToWaitInCapture(lane, false);
  const auto recording = std::make_shared<Recording>();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Log(AsyncOperation::kSynchronize, lane);
    scheduler_->Push(lane, {nullptr, recording, nullptr});
  }
  Throw(scheduler_->RunUntil(recording));
  if (options_.recovers) Call();  // it has waited, or what it waits for would outlive the memory it uses
}

void FakeDevice::Synchronize(AsyncEvent& event) {
  if (!options_.recovers) Call();
  bool captured = false;
  std::shared_ptr<Recording> recording;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    Log(AsyncOperation::kSynchronize, nullptr, nullptr, 0, event.id);
    recording = event.recording;
    captured = event.capture >= 0;
    if (captured && (capture_ == nullptr || event.capture != capture_->id())) {
      ThrowPrecondition(absl::StrCat("the host waits for event ", event.id, ", which was recorded in a capture"));
    }
  }
  RefuseToWaitInCapture(nullptr, captured);
  if (recording != nullptr) Throw(scheduler_->RunUntil(recording));
  if (options_.recovers) Call();
}

void FakeDevice::BeginCapture() {
  if (!options_.can_capture) return Device::BeginCapture();
  Call();
  std::lock_guard<std::mutex> lock(mutex_);
  if (capture_ != nullptr) ThrowPrecondition("a capture began within another");
  capture_ = std::make_unique<AsyncCapture>(++num_captures_, compute_.lane());
  Log(AsyncOperation::kBeginCapture, nullptr);
}

std::unique_ptr<Graph> FakeDevice::EndCapture() {
  Call();
  Status status;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (capture_ == nullptr) ThrowPrecondition("a capture ended that had not begun");
    Log(AsyncOperation::kEndCapture, nullptr);
    status = capture_->Check();
    if (status.ok()) return std::make_unique<AsyncGraph>(*this, compute_.lane(), std::move(capture_));
  }
  AbandonCapture();
  throw DeviceError(status);
}

void FakeDevice::AbandonCapture() {
  std::unique_ptr<AsyncCapture> abandoned;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    abandoned = std::move(capture_);
  }
  if (abandoned == nullptr) return;
  const int id = abandoned->id();
  abandoned = nullptr;  // frees the tensors that work holds
  ReleaseMemory(id);
}

void FakeDevice::Launch(const AsyncCapture& captured, const std::vector<Lane*>& lanes) {
  Call();
  std::lock_guard<std::mutex> lock(mutex_);
  if (capture_ != nullptr) {
    throw DeviceError(capture_->Spoil(absl::FailedPreconditionError("a graph was launched in the midst of a capture")));
  }
  Log(AsyncOperation::kLaunch, lanes[0]);
  std::vector<std::shared_ptr<Recording>> points(captured.num_points());
  for (auto& point : points) point = std::make_shared<Recording>();
  for (const CapturedStep& step : captured.steps()) {
    Lane* const lane = lanes[step.line];
    if (step.run != nullptr) {
      scheduler_->Push(lane, {[run = step.run] { (*run)(); }, nullptr, nullptr});
    } else if (step.record >= 0) {
      scheduler_->Push(lane, {nullptr, points[step.record], nullptr});
    } else {
      scheduler_->Push(lane, {nullptr, nullptr, points[step.wait]});
    }
  }
}

}  // namespace

std::string ToString(const AsyncLogEntry& entry) {
  static constexpr const char* kNames[] = {"allocate", "free",        "copy",          "fill",        "run",   "record",
                                           "wait",     "synchronize", "begin capture", "end capture", "launch"};
  std::string text = kNames[static_cast<int>(entry.operation)];
  if (entry.event >= 0) absl::StrAppend(&text, " event ", entry.event);
  if (!entry.stream.empty()) absl::StrAppend(&text, " on ", entry.stream);
  if (entry.captured) text += " (captured)";
  return text;
}

std::unique_ptr<AsyncDevice> MakeAsyncDevice(const AsyncDeviceOptions& options) {
  CHECK_GT(options.threads, 0);
  return std::make_unique<FakeDevice>(options);
}

}  // namespace trireme::testing

#include "core/device/cpu/cpu_device.h"

#include <glog/logging.h>
#include <omp.h>
#include <pthread.h>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/trace.h"
#include "core/device/cpu/huge_page_pool.h"
#include "core/device/memory_fault.h"

namespace trireme {
namespace {

// Counts recordings and completions, so that a wait is for the recording it saw.
class Recordings {
 public:
  int64_t recorded() {
    std::lock_guard<std::mutex> lock(mutex_);
    return recorded_;
  }
  int64_t BeginRecord() {
    std::lock_guard<std::mutex> lock(mutex_);
    return ++recorded_;
  }
  void Complete(int64_t recording) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      completed_ = std::max(completed_, recording);
    }
    changed_.notify_all();
  }
  void WaitFor(int64_t recording) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return completed_ >= recording; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t recorded_ = 0;
  int64_t completed_ = 0;
};

// Streams share the recordings, so that an event may be destroyed while they still hold work that refers to it.
class CpuEvent : public Event {
 public:
  void Synchronize() override { recordings_->WaitFor(recordings_->recorded()); }
  static std::shared_ptr<Recordings> Of(Event& event) { return static_cast<CpuEvent&>(event).recordings_; }

 private:
  const std::shared_ptr<Recordings> recordings_ = std::make_shared<Recordings>();
};

class InlineStream : public Stream {
 public:
  explicit InlineStream(Device& device) : device_(device) {}
  Device& device() override { return device_; }
  void Enqueue(std::function<void()> work) override { work(); }
  void Record(Event& event) override {
    const auto recordings = CpuEvent::Of(event);
    recordings->Complete(recordings->BeginRecord());
  }
  void Wait(Event& event) override { event.Synchronize(); }
  void Synchronize() override {}
  bool is_inline() const override { return true; }

 private:
  Device& device_;
};

class ThreadStream : public Stream {
 public:
  ThreadStream(Device& device, const std::string& name) : device_(device) {
    thread_ = std::thread([this, name, trace = TraceOfThisThread()] {
      // 15 characters is what the kernel keeps.
      pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
      omp_set_num_threads(1);
      const TraceThread traced(trace, name);
      Loop();
    });
  }
  ~ThreadStream() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Device& device() override { return device_; }
  void Enqueue(std::function<void()> work) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      queue_.push_back(std::move(work));
      ++enqueued_;
    }
    changed_.notify_all();
  }
  void Record(Event& event) override {
    const auto recordings = CpuEvent::Of(event);
    Enqueue([recordings, recording = recordings->BeginRecord()] { recordings->Complete(recording); });
  }
  void Wait(Event& event) override {
    const auto recordings = CpuEvent::Of(event);
    Enqueue([recordings, recording = recordings->recorded()] { recordings->WaitFor(recording); });
  }
  void Synchronize() override {
    std::unique_lock<std::mutex> lock(mutex_);
    const int64_t target = enqueued_;
    changed_.wait(lock, [&] { return done_ >= target; });
  }

 private:
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      lock.lock();
      ++done_;
      changed_.notify_all();
    }
  }

  Device& device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  int64_t enqueued_ = 0;
  int64_t done_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

class CpuDevice : public Device {
 public:
  CpuDevice(int threads, int64_t memory_limit) : threads_(threads), pool_(memory_limit), compute_stream_(*this) {}

  DeviceKind kind() const override { return DeviceKind::kCpu; }
  std::string name() const override {
    return absl::StrCat("cpu (", threads_, threads_ == 1 ? " thread)" : " threads)");
  }
  int threads() const override { return threads_; }
  // OpenMP keeps the size of the next team per thread, which is what lets workers differ.
  void BindToThisThread() override { omp_set_num_threads(threads_); }

  void* Allocate(size_t bytes, MemoryKind kind) override {
    void* pointer = pool_.Allocate(bytes, kind);
    if (pointer == nullptr) {
      MemoryRequest request;
      request.device = name();
      request.bytes = bytes;
      request.kind = kind;
      throw DeviceError(OutOfMemory(request, pool_.stats()));
    }
    return pointer;
  }
  void Free(void* pointer) override { pool_.Free(pointer); }
  MemoryStats memory() const override { return pool_.stats(); }
  std::shared_ptr<void> NewHostBuffer(size_t bytes) override {
    return {::operator new(std::max<size_t>(bytes, 1), std::align_val_t(64)),
            [](void* pointer) { ::operator delete(pointer, std::align_val_t(64)); }};
  }

  Stream& compute_stream() override { return compute_stream_; }
  std::unique_ptr<Stream> NewStream(const std::string& name) override {
    return std::make_unique<ThreadStream>(*this, name);
  }
  std::unique_ptr<Event> NewEvent() override { return std::make_unique<CpuEvent>(); }

  void Copy(void* to, const void* from, size_t bytes, Stream& stream) override {
    stream.Enqueue([=] {
      if (bytes > 0) std::memcpy(to, from, bytes);
    });
  }
  void Fill(void* to, int byte, size_t bytes, Stream& stream) override {
    stream.Enqueue([=] {
      if (bytes > 0) std::memset(to, byte, bytes);
    });
  }

 private:
  const int threads_;
  HugePagePool pool_;
  InlineStream compute_stream_;
};

}  // namespace

std::unique_ptr<Device> MakeCpuDevice(int threads, int64_t memory_limit) {
  CHECK_GT(threads, 0);
  return std::make_unique<CpuDevice>(threads, memory_limit);
}

}  // namespace trireme

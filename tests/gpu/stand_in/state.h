// What the stand-in knows: its objects, captures and errors.
#ifndef TRIREME_TESTS_GPU_STAND_IN_STATE_H_
#define TRIREME_TESTS_GPU_STAND_IN_STATE_H_

#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/gpu/stand_in/cuda_runtime.h"

namespace trireme::testing {

inline constexpr int kStandInDevices = 2;

using StandInWork = std::function<void()>;

struct StandInCapture {
  std::vector<StandInWork> work;
  bool spoilt = false;
  bool over = false;
};

struct StandInStream {
  int device = 0;
  std::shared_ptr<StandInCapture> capture;
  bool began = false;             // the capture
  std::set<const void*> covered;  // streams whose captured work is done before what comes here
};

struct StandInEvent {
  int device = 0;
  std::shared_ptr<StandInCapture> capture;  // that the last recording was part of
  std::set<const void*> covered;
};

struct StandInGraph {
  std::vector<StandInWork> work;
};

// Objects of one kind, known by their addresses.
template <class T>
class StandInObjects {
 public:
  T* Add() {
    auto object = std::make_unique<T>();
    T* const pointer = object.get();
    objects_[pointer] = std::move(object);
    return pointer;
  }
  // Null for what does not exist.
  T* Find(const void* handle) {
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second.get();
  }
  bool Remove(const void* handle) { return objects_.erase(handle) > 0; }
  size_t size() const { return objects_.size(); }
  void clear() { objects_.clear(); }
  template <class F>
  void ForEach(const F& f) {
    for (auto& [handle, object] : objects_) f(*object);
  }

 private:
  std::map<const void*, std::unique_ptr<T>> objects_;
};

// All under the mutex.
struct StandInState {
  std::recursive_mutex mutex;  // a host function may call what frees
  CudaFault fault;
  std::string faulty_function;
  int64_t calls = 0;
  int64_t graph_launches = 0;
  std::vector<std::string> offences;
  StandInObjects<StandInStream> streams;
  StandInObjects<StandInEvent> events;
  StandInObjects<StandInGraph> graphs, executables;
  std::set<void*> device_blocks, host_blocks;
};

StandInState& StandIn();

// At the start of each function: locks the state, and returns the fault if it is this call's turn.
class StandInCall {
 public:
  explicit StandInCall(const char* function);
  cudaError_t error() const { return error_; }
  // For what is against the rules; spoils `capture`.
  cudaError_t Refuse(cudaError_t error, const std::shared_ptr<StandInCapture>& capture = nullptr);
  // Refuses what a strict capture of this thread forbids.
  cudaError_t CheckNotCapturing();

 private:
  const char* const function_;
  const std::lock_guard<std::recursive_mutex> lock_;
  cudaError_t error_ = cudaSuccess;
};

// Of the calling thread.
cudaError_t& StandInLastError();
int& StandInCurrentDevice();
cudaStreamCaptureMode& StandInCaptureMode();
std::shared_ptr<StandInCapture>& StandInCaptureOfThread();

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_GPU_STAND_IN_STATE_H_

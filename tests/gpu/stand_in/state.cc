#include "tests/gpu/stand_in/state.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace trireme::testing {

StandInState& StandIn() {
  static auto* const state = new StandInState;
  return *state;
}

cudaError_t& StandInLastError() {
  thread_local cudaError_t error = cudaSuccess;
  return error;
}

int& StandInCurrentDevice() {
  thread_local int device = 0;
  return device;
}

cudaStreamCaptureMode& StandInCaptureMode() {
  thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  return mode;
}

std::shared_ptr<StandInCapture>& StandInCaptureOfThread() {
  thread_local std::shared_ptr<StandInCapture> capture;
  return capture;
}

StandInCall::StandInCall(const char* function) : function_(function), lock_(StandIn().mutex) {
  StandInState& state = StandIn();
  const int64_t call = ++state.calls;
  if (state.fault.call == 0 || call < state.fault.call || (call > state.fault.call && !state.fault.lasts)) return;
  if (call == state.fault.call) state.faulty_function = function;
  error_ = StandInLastError() = state.fault.error;
}

cudaError_t StandInCall::Refuse(cudaError_t error, const std::shared_ptr<StandInCapture>& capture) {
  StandIn().offences.push_back(absl::StrCat(function_, ": ", cudaGetErrorName(error)));
  if (capture != nullptr) capture->spoilt = true;
  return StandInLastError() = error;
}

cudaError_t StandInCall::CheckNotCapturing() {
  const std::shared_ptr<StandInCapture>& capture = StandInCaptureOfThread();
  if (capture == nullptr || StandInCaptureMode() == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  return Refuse(cudaErrorStreamCaptureUnsupported, capture);
}

void StartCudaStandIn(const CudaFault& fault) {
  StandInState& state = StandIn();
  std::lock_guard<std::recursive_mutex> lock(state.mutex);
  state.fault = fault;
  state.faulty_function.clear();
  state.calls = state.graph_launches = 0;
  state.offences.clear();
  state.streams.clear();
  state.events.clear();
  state.graphs.clear();
  state.executables.clear();
  for (void* block : state.device_blocks) std::free(block);
  for (void* block : state.host_blocks) std::free(block);
  state.device_blocks.clear();
  state.host_blocks.clear();
  StandInLastError() = cudaSuccess;
  StandInCaptureOfThread() = nullptr;
}

int64_t CudaStandInCalls() {
  std::lock_guard<std::recursive_mutex> lock(StandIn().mutex);
  return StandIn().calls;
}

std::string CudaStandInFaultyFunction() {
  std::lock_guard<std::recursive_mutex> lock(StandIn().mutex);
  return StandIn().faulty_function;
}

int64_t CudaStandInGraphLaunches() {
  std::lock_guard<std::recursive_mutex> lock(StandIn().mutex);
  return StandIn().graph_launches;
}

std::vector<std::string> CudaStandInOffences() {
  std::lock_guard<std::recursive_mutex> lock(StandIn().mutex);
  return StandIn().offences;
}

std::vector<std::string> CudaStandInLeftovers() {
  StandInState& state = StandIn();
  std::lock_guard<std::recursive_mutex> lock(state.mutex);
  std::vector<std::string> leftovers;
  const auto add = [&](size_t count, const char* what) {
    if (count > 0) leftovers.push_back(absl::StrCat(count, " ", what));
  };
  add(state.streams.size(), "streams");
  add(state.events.size(), "events");
  add(state.graphs.size(), "graphs");
  add(state.executables.size(), "executable graphs");
  add(state.device_blocks.size(), "device blocks");
  add(state.host_blocks.size(), "page-locked blocks");
  return leftovers;
}

}  // namespace trireme::testing

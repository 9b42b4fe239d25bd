#include "core/device/device.h"

#include <new>
#include <stdexcept>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/base/catch_exceptions.h"
#include "core/device/cpu/cpu_device.h"
#include "core/device/cuda/cuda_device.h"

namespace trireme {

const char* MemoryKindName(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::kParameters:
      return "parameters";
    case MemoryKind::kGradients:
      return "gradients";
    case MemoryKind::kOptimizer:
      return "optimizer";
    case MemoryKind::kActivations:
      return "activations";
  }
  return "?";
}

Status CatchDeviceError(const std::function<Status()>& work) {
  try {
    return work();
  } catch (const DeviceError& error) {
    return error.status();
  } catch (const std::bad_alloc&) {
    return NoHostMemory();
  } catch (const std::length_error&) {
    return NoHostMemory();
  }
}

StatusOr<std::unique_ptr<Device>> MakeDevice(absl::string_view name, int threads) {
  DeviceOptions options;
  options.name = std::string(name);
  options.threads = threads;
  return MakeDevice(options);
}

int NumGpus() { return CudaDeviceCount(); }

StatusOr<std::unique_ptr<Device>> MakeDevice(const DeviceOptions& options) {
  const absl::string_view name = options.name;
  const int cores = std::max(1u, std::thread::hardware_concurrency());
  const auto cpu = [&] { return MakeCpuDevice(options.threads > 0 ? options.threads : cores, options.memory_limit); };
  if (name == "cpu") return cpu();
  if (name == "auto") {
    if (CudaDeviceCount() > 0) return MakeCudaDevice(0, options);
    return cpu();
  }
  if (name == "cuda") return MakeCudaDevice(0, options);
  int index = 0;
  if (absl::StartsWith(name, "cuda:") && absl::SimpleAtoi(name.substr(5), &index) && index >= 0) {
    return MakeCudaDevice(index, options);
  }
  return absl::InvalidArgumentError(absl::StrCat("there is no device \"", name, "\"; say cpu, cuda, cuda:N or auto"));
}

}  // namespace trireme

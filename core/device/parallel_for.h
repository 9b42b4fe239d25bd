// ParallelFor(stream, n, f) calls f(i) for every 0 <= i < n, in stream order: a loop over the worker's
// threads on CPU, a grid-stride kernel on CUDA. The body is one, marked TRIREME_HD, so that what CPU
// tests exercise is what a GPU runs. Calls may run in any order and at the same time: f(i) writes only
// what belongs to i.
//
// The file that calls it is compiled through cuda_library() so that nvcc sees the body. Functors are
// lambdas or live in an unnamed namespace (the same named functor compiled by g++ in one file and by
// nvcc in another would break the one-definition rule).
#ifndef TRIREME_CORE_DEVICE_PARALLEL_FOR_H_
#define TRIREME_CORE_DEVICE_PARALLEL_FOR_H_

#include <cstdint>
#include <functional>

#include "absl/functional/function_ref.h"
#include "core/base/host_device.h"
#include "core/device/device.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#endif

namespace trireme {

// Cuts [0, n) into at most device.threads() ranges of at least `grain` (or one of n) and runs
// body(begin, end) on each, on the calling thread if there is one range, as there always is on the thread
// of a further stream. The cuts depend only on n, grain and the number of threads. Host work only;
// returns when all is done.
void CpuParallelRanges(Device& device, int64_t n, int64_t grain,
                       absl::FunctionRef<void(int64_t begin, int64_t end)> body);

// Roughly how many cheap iterations are worth a second thread.
inline constexpr int64_t kParallelGrain = 4096;

#ifdef __CUDACC__
namespace internal {
template <class F>
__global__ void ForKernel(int64_t n, F f) {
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    f(i);
  }
}
void CheckLaunch();  // throws DeviceError for a failed launch
}  // namespace internal
#endif

// `grain` tells how many iterations are worth a thread of their own on CPU; lower it for heavy bodies.
//
// HostParallelFor is the CPU's half, for functions that have a kernel of their own on CUDA.
template <class F>
void HostParallelFor(Stream& stream, int64_t n, const F& f, int64_t grain = kParallelGrain) {
  if (n <= 0) return;
  const auto run = [&device = stream.device(), n, grain, f] {
    CpuParallelRanges(device, n, grain, [&f](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) f(i);
    });
  };
  if (stream.is_inline()) {
    run();
  } else {
    stream.Enqueue(run);
  }
}

template <class F>
void ParallelFor(Stream& stream, int64_t n, const F& f, int64_t grain = kParallelGrain) {
  if (n <= 0) return;
#ifdef __CUDACC__
  if (stream.device().kind() == DeviceKind::kCuda) {
    constexpr int kThreads = 256;
    const int64_t blocks = (n + kThreads - 1) / kThreads;
    internal::ForKernel<<<static_cast<unsigned>(blocks < 65535 ? blocks : 65535), kThreads, 0,
                          static_cast<cudaStream_t>(stream.native())>>>(n, f);
    internal::CheckLaunch();
    return;
  }
#endif
  HostParallelFor(stream, n, f, grain);
}

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_PARALLEL_FOR_H_

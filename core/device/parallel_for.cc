#include "core/device/parallel_for.h"

#include <omp.h>

#include <algorithm>

namespace trireme {

void CpuParallelRanges(Device& device, int64_t n, int64_t grain,
                       absl::FunctionRef<void(int64_t begin, int64_t end)> body) {
  if (n <= 0) return;
  // A stream that runs beside the compute stream has one thread (see BindToThisThread): the others are busy.
  const int64_t threads = std::min(device.threads(), omp_get_max_threads());
  const int64_t ranges = std::min(threads, n / grain);
  if (ranges <= 1) {
    body(0, n);
    return;
  }
  // OpenMP, because oneDNN's team is OpenMP's: a pool of our own would fight it for the cores.
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(ranges))
  for (int64_t r = 0; r < ranges; ++r) body(n * r / ranges, n * (r + 1) / ranges);
}

}  // namespace trireme

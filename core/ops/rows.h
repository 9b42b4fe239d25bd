// ForRows(stream, rows, grain, body) calls body.Row(row, group) once for every row, for functions that need a sum over
// the row's elements. Private to core/ops.
//
// The group shares the row among its members: on CPU it is one thread, on CUDA the 32 lanes of a warp. Each member
// takes the elements `member`, `member` + kMembers and so on, and Sum gives every member the sum of what all hold, in a
// fixed order. All members come to every Sum. `grain` is the CPU's, in rows.
#ifndef TRIREME_CORE_OPS_ROWS_H_
#define TRIREME_CORE_OPS_ROWS_H_

#include "core/device/parallel_for.h"

namespace trireme::ops {

struct OneThread {
  static constexpr int kMembers = 1;
  static constexpr int member = 0;

  TRIREME_HD float Sum(float value) const { return value; }
};

#ifdef __CUDACC__
struct Warp {
  static constexpr int kMembers = 32;
  const int member;

  TRIREME_HD float Sum(float value) const {
#ifdef __CUDA_ARCH__
    for (int distance = kMembers / 2; distance > 0; distance /= 2) {
      value += __shfl_xor_sync(0xffffffffu, value, distance);
    }
#endif
    return value;
  }
};

namespace internal {

inline constexpr int kRowsOfThreadBlock = 8;

template <class Body>
__global__ void __launch_bounds__(Warp::kMembers* kRowsOfThreadBlock) RowsKernel(int64_t rows, Body body) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsOfThreadBlock + threadIdx.y;
  if (row < rows) body.Row(row, Warp{static_cast<int>(threadIdx.x)});
}

}  // namespace internal
#endif

template <class Body>
void ForRows(Stream& stream, int64_t rows, int64_t grain, const Body& body) {
  if (rows <= 0) return;
#ifdef __CUDACC__
  if (stream.device().kind() == DeviceKind::kCuda) {
    const int64_t blocks = (rows + internal::kRowsOfThreadBlock - 1) / internal::kRowsOfThreadBlock;
    internal::RowsKernel<<<static_cast<unsigned>(blocks), dim3(Warp::kMembers, internal::kRowsOfThreadBlock), 0,
                           static_cast<cudaStream_t>(stream.native())>>>(rows, body);
    trireme::internal::CheckLaunch();
    return;
  }
#endif
  HostParallelFor(
      stream, rows, [body](int64_t row) { body.Row(row, OneThread()); }, grain);
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_ROWS_H_

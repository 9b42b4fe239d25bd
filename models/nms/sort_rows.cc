#include "models/nms/sort_rows.h"

#include <algorithm>
#include <limits>

#include "core/device/parallel_for.h"

#ifdef __CUDACC__
#include <cub/device/device_segmented_radix_sort.cuh>

#include "core/device/cuda/cuda_error.h"
#endif

namespace trireme {
namespace {

#ifdef __CUDACC__
void SortRowsCuda(const Tensor& keys, const Tensor& counts, const Tensor& sorted, Stream& stream) {
  const int64_t num_rows = keys.dim(0), width = keys.dim(1);
  CHECK_LE(keys.size(), std::numeric_limits<int>::max());
  Device& device = stream.device();
  const Tensor begins = Tensor::Empty(device, {num_rows}, DataType::kInt32);
  const Tensor ends = Tensor::Empty(device, {num_rows}, DataType::kInt32);
  const int32_t* count = counts.data<int32_t>();
  int32_t* begin = begins.data<int32_t>();
  int32_t* end = ends.data<int32_t>();
  ParallelFor(stream, num_rows, [=] TRIREME_HD(int64_t row) {
    begin[row] = static_cast<int32_t>(row * width);
    end[row] = static_cast<int32_t>(row * width) + count[row];
  });
  const uint64_t* from = static_cast<const uint64_t*>(keys.raw());
  uint64_t* to = static_cast<uint64_t*>(sorted.raw());
  const int items = static_cast<int>(keys.size()), segments = static_cast<int>(num_rows);
  const cudaStream_t native = static_cast<cudaStream_t>(stream.native());
  size_t bytes = 0;
  constexpr char kDoing[] = "sorting";
  CheckCuda(
      cub::DeviceSegmentedRadixSort::SortKeys(nullptr, bytes, from, to, items, segments, begin, end, 0, 64, native),
      kDoing);
  const Tensor scratch = Tensor::Empty(device, {std::max<int64_t>(1, static_cast<int64_t>(bytes))}, DataType::kUint8);
  CheckCuda(cub::DeviceSegmentedRadixSort::SortKeys(scratch.raw(), bytes, from, to, items, segments, begin, end, 0, 64,
                                                    native),
            kDoing);
}
#endif

void SortRowsCpu(const Tensor& keys, const Tensor& counts, const Tensor& sorted, Stream& stream) {
  const int64_t width = keys.dim(1);
  const uint64_t* from = static_cast<const uint64_t*>(keys.raw());
  uint64_t* to = static_cast<uint64_t*>(sorted.raw());
  const int32_t* count = counts.data<int32_t>();
  const auto run = [&device = stream.device(), num_rows = keys.dim(0), width, from, to, count] {
    CpuParallelRanges(device, num_rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const uint64_t* first = from + row * width;
        std::sort(to + row * width, std::copy(first, first + count[row], to + row * width));
      }
    });
  };
  if (stream.is_inline()) {
    run();
  } else {
    stream.Enqueue(run);
  }
}

}  // namespace

Tensor SortRows(const Tensor& keys, const Tensor& counts, Stream& stream) {
  CHECK(keys.type() == DataType::kInt64 && keys.shape().rank() == 2 && counts.size() == keys.dim(0))
      << keys.shape() << " with counts " << counts.shape();
  Tensor sorted = Tensor::Empty(stream.device(), keys.shape(), DataType::kInt64);
  if (sorted.size() == 0) return sorted;
#ifdef __CUDACC__
  if (stream.device().kind() == DeviceKind::kCuda) {
    SortRowsCuda(keys, counts, sorted, stream);
    return sorted;
  }
#endif
  SortRowsCpu(keys, counts, sorted, stream);
  return sorted;
}

}  // namespace trireme

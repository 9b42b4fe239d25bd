// ForBlocks(stream, n, body) runs n pieces of work in stream order, each by a block: threads that share memory and
// wait for one another. It is for work whose parts have to meet, a selection or a search, where ParallelFor would walk
// each piece with one thread.
//
//   struct Body {
//     struct Shared { uint32_t histogram[256]; };  // plain data, uninitialised; the block's own
//     template <class Block>
//     TRIREME_HD void Run(Block& block, Shared& shared, int64_t i) const;
//   };
//
// A block is a thread block on CUDA and one thread on CPU, so a body strides over its elements by block.size(). All
// threads of a block take the same way through the calls that wait: Sync, ExclusiveSum, Largest. A thread sees what
// others wrote before a Sync. Pieces run in any order and at the same time.
//
// As with ParallelFor, bodies live in unnamed namespaces of files that are compiled by cuda_library().
#ifndef TRIREME_CORE_DEVICE_BLOCK_H_
#define TRIREME_CORE_DEVICE_BLOCK_H_

#include <algorithm>
#include <cstdint>

#include "core/device/host_block.h"
#include "core/device/parallel_for.h"

#ifdef __CUDACC__
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#endif

namespace trireme {

// A thread that is a block by itself.
class SerialBlock {
 public:
  TRIREME_HD int rank() const { return 0; }
  TRIREME_HD int size() const { return 1; }
  TRIREME_HD void Sync() {}
  // The sum of `value` over the threads of lower rank, and over all.
  TRIREME_HD int32_t ExclusiveSum(int32_t value, int32_t* total) {
    *total = value;
    return 0;
  }
  // Of all threads' values.
  TRIREME_HD uint64_t Largest(uint64_t value) { return value; }
  // Adds to memory that the block shares; returns what was there.
  TRIREME_HD uint32_t AtomicAdd(uint32_t* to, uint32_t value) {
    const uint32_t before = *to;
    *to += value;
    return before;
  }
};

#ifdef __CUDACC__
namespace internal {

// Methods are empty where the compiler looks at the host's half of a body, which never runs.
template <int kThreads>
class CudaBlock {
  using Scan = cub::BlockScan<int32_t, kThreads>;
  using Reduce = cub::BlockReduce<uint64_t, kThreads>;

 public:
  struct Storage {
    union {
      typename Scan::TempStorage scan;
      typename Reduce::TempStorage reduce;
    };
    uint64_t largest;
  };

  TRIREME_HD explicit CudaBlock(Storage& storage) : storage_(storage) {}
  TRIREME_HD int rank() const {
#ifdef __CUDA_ARCH__
    return static_cast<int>(threadIdx.x);
#else
    return 0;
#endif
  }
  TRIREME_HD int size() const { return kThreads; }
  TRIREME_HD void Sync() {
#ifdef __CUDA_ARCH__
    __syncthreads();
#endif
  }
  TRIREME_HD int32_t ExclusiveSum(int32_t value, int32_t* total) {
    int32_t before = 0;
#ifdef __CUDA_ARCH__
    Scan(storage_.scan).ExclusiveSum(value, before, *total);
    __syncthreads();
#endif
    return before;
  }
  TRIREME_HD uint64_t Largest(uint64_t value) {
#ifdef __CUDA_ARCH__
    const uint64_t largest = Reduce(storage_.reduce).Reduce(value, LargerOf());
    if (threadIdx.x == 0) storage_.largest = largest;
    __syncthreads();
    value = storage_.largest;
    __syncthreads();
#endif
    return value;
  }
  TRIREME_HD uint32_t AtomicAdd(uint32_t* to, uint32_t value) {
#ifdef __CUDA_ARCH__
    return atomicAdd(to, value);
#else
    return 0;
#endif
  }

 private:
  struct LargerOf {
    TRIREME_HD uint64_t operator()(uint64_t a, uint64_t b) const { return a > b ? a : b; }
  };
  Storage& storage_;
};

template <int kThreads, class Body>
__global__ void __launch_bounds__(kThreads) BlocksKernel(int64_t n, Body body) {
  __shared__ typename Body::Shared shared;
  __shared__ typename CudaBlock<kThreads>::Storage storage;
  CudaBlock<kThreads> block(storage);
  for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
    body.Run(block, shared, i);
    block.Sync();
  }
}

}  // namespace internal
#endif

// `grain` as for ParallelFor; kThreads is the size of a CUDA block.
template <int kThreads = 256, class Body>
void ForBlocks(Stream& stream, int64_t n, const Body& body, int64_t grain = 1) {
  if (n <= 0) return;
#ifdef __CUDACC__
  if (stream.device().kind() == DeviceKind::kCuda) {
    constexpr int64_t kMostBlocks = 1 << 20;
    internal::BlocksKernel<kThreads>
        <<<static_cast<unsigned>(std::min(n, kMostBlocks)), kThreads, 0, static_cast<cudaStream_t>(stream.native())>>>(
            n, body);
    internal::CheckLaunch();
    return;
  }
#endif
  const auto run = [&device = stream.device(), n, grain, body] {
#ifndef __CUDACC__
    if (const int threads = HostBlockThreads(); threads > 0) {
      typename Body::Shared shared;
      RunHostBlock(threads, [&](HostBlock& block) {
        for (int64_t i = 0; i < n; ++i) {
          body.Run(block, shared, i);
          block.Sync();
        }
      });
      return;
    }
#endif
    CpuParallelRanges(device, n, grain, [&body](int64_t begin, int64_t end) {
      typename Body::Shared shared;
      SerialBlock block;
      for (int64_t i = begin; i < end; ++i) body.Run(block, shared, i);
    });
  };
  if (stream.is_inline()) {
    run();
  } else {
    stream.Enqueue(run);
  }
}

}  // namespace trireme

#endif  // TRIREME_CORE_DEVICE_BLOCK_H_

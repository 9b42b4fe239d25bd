#include "core/device/memory_fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::StartsWith;

constexpr int64_t kMiB = int64_t{1} << 20;

TEST(OutOfMemoryTest, NamesWhatHoldsTheMemoryTheLargestFirst) {
  MemoryStats stats;
  stats.in_use[static_cast<int>(MemoryKind::kParameters)] = 100 * kMiB;
  stats.in_use[static_cast<int>(MemoryKind::kActivations)] = 900 * kMiB;
  stats.reserved = 1010 * kMiB;
  MemoryRequest request;
  request.device = "cuda:0";
  request.bytes = 64 * kMiB - 5;
  const Status status = OutOfMemory(request, stats);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "cuda:0 is out of memory: no 64 MiB more for activations; activations take 900 MiB, parameters 100 MiB, "
            "10 MiB are kept for reuse; lower the batch size or the image size");
  stats.limit = 1024 * kMiB;
  request.free = 3 * kMiB;
  request.total = 2000 * kMiB;
  EXPECT_EQ(OutOfMemory(request, stats).message(),
            "cuda:0 is out of memory: no 64 MiB more for activations; activations take 900 MiB, parameters 100 MiB, "
            "10 MiB are kept for reuse, the limit is 1024 MiB, 3 MiB of 2000 MiB are free; lower the batch size or "
            "the image size, or raise the limit");
  request.kind = MemoryKind::kOptimizer;
  EXPECT_THAT(std::string(OutOfMemory(request, stats).message()),
              AllOf(StartsWith("cuda:0 is out of memory: no 64 MiB more for optimizer; "),
                    EndsWith("are free; take a smaller model, or raise the limit")));
}

}  // namespace
}  // namespace trireme

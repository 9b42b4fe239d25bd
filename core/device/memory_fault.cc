#include "core/device/memory_fault.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace trireme {
namespace {

std::string Mebibytes(int64_t bytes) {
  constexpr int64_t kMiB = int64_t{1} << 20;
  return absl::StrCat((bytes + kMiB - 1) / kMiB, " MiB");
}

}  // namespace

Status OutOfMemory(const MemoryRequest& request, const MemoryStats& stats) {
  std::array<int, kNumMemoryKinds> kinds;
  std::iota(kinds.begin(), kinds.end(), 0);
  std::stable_sort(kinds.begin(), kinds.end(), [&](int a, int b) { return stats.in_use[a] > stats.in_use[b]; });
  std::string message =
      absl::StrCat(request.device, " is out of memory: no ", Mebibytes(static_cast<int64_t>(request.bytes)),
                   " more for ", MemoryKindName(request.kind), "; ");
  int64_t used = 0;
  for (const int kind : kinds) {
    if (stats.in_use[kind] == 0) continue;
    absl::StrAppend(&message, MemoryKindName(static_cast<MemoryKind>(kind)), used > 0 ? " " : " take ",
                    Mebibytes(stats.in_use[kind]), ", ");
    used += stats.in_use[kind];
  }
  absl::StrAppend(&message, Mebibytes(std::max<int64_t>(0, stats.reserved - used)), " are kept for reuse");
  if (stats.limit > 0) absl::StrAppend(&message, ", the limit is ", Mebibytes(stats.limit));
  if (request.free >= 0) {
    absl::StrAppend(&message, ", ", Mebibytes(request.free), " of ", Mebibytes(request.total), " are free");
  }
  // What else a worker holds does not depend on its images.
  absl::StrAppend(&message, request.kind == MemoryKind::kActivations ? "; lower the batch size or the image size"
                                                                     : "; take a smaller model");
  if (stats.limit > 0) absl::StrAppend(&message, ", or raise the limit");
  return absl::ResourceExhaustedError(message);
}

}  // namespace trireme

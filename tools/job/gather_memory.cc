#include "tools/job/gather_memory.h"

#include <algorithm>

namespace trireme {

StatusOr<std::vector<MemoryStats>> GatherMemory(Communicator& communicator, Device& device) {
  constexpr int64_t kColumns = kNumMemoryKinds + 1;
  const MemoryStats mine = device.memory();
  std::vector<int64_t> peaks(static_cast<size_t>(communicator.size() * kColumns), 0);
  int64_t* const row = peaks.data() + communicator.rank() * kColumns;
  std::copy(mine.peak, mine.peak + kNumMemoryKinds, row);
  row[kNumMemoryKinds] = mine.peak_total;
  const Tensor all = Tensor::From(device, {communicator.size(), kColumns}, peaks);
  TRIREME_RETURN_IF_ERROR(communicator.AllGather(all, device.compute_stream()));
  peaks = all.ToVector<int64_t>();
  TRIREME_RETURN_IF_ERROR(communicator.status());
  std::vector<MemoryStats> memory(static_cast<size_t>(communicator.size()));
  for (size_t rank = 0; rank < memory.size(); ++rank) {
    const int64_t* const of_rank = peaks.data() + static_cast<int64_t>(rank) * kColumns;
    std::copy(of_rank, of_rank + kNumMemoryKinds, memory[rank].peak);
    memory[rank].peak_total = of_rank[kNumMemoryKinds];
  }
  return memory;
}

}  // namespace trireme

#include "core/api/communicator.h"

#include <glog/logging.h>

#include <algorithm>

namespace trireme {

void CheckSubset(const Communicator& communicator, const std::vector<int>& ranks) {
  CHECK(!ranks.empty()) << "a subset of no ranks";
  std::vector<bool> named(communicator.size(), false);
  for (const int rank : ranks) {
    CHECK(rank >= 0 && rank < communicator.size()) << rank << " of " << communicator.size();
    CHECK(!named[rank]) << "rank " << rank << " is named twice";
    named[rank] = true;
  }
}

StatusOr<std::vector<std::string>> AllGatherStrings(Communicator& communicator, const std::string& mine,
                                                    Device& device) {
  const int world = communicator.size();
  Stream& stream = device.compute_stream();
  std::vector<int32_t> lengths(world, 0);
  lengths[communicator.rank()] = static_cast<int32_t>(mine.size());
  Tensor all_lengths = Tensor::From(device, {world}, lengths);
  TRIREME_RETURN_IF_ERROR(communicator.AllGather(all_lengths, stream));
  lengths = all_lengths.ToVector<int32_t>();
  TRIREME_RETURN_IF_ERROR(communicator.status());

  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  std::vector<uint8_t> bytes(world * longest, 0);
  std::copy(mine.begin(), mine.end(), bytes.begin() + communicator.rank() * longest);
  Tensor all_bytes = Tensor::From(device, {world * longest}, bytes);
  TRIREME_RETURN_IF_ERROR(communicator.AllGather(all_bytes, stream));
  bytes = all_bytes.ToVector<uint8_t>();
  TRIREME_RETURN_IF_ERROR(communicator.status());

  std::vector<std::string> gathered;
  for (int rank = 0; rank < world; ++rank) {
    const auto begin = bytes.begin() + rank * longest;
    gathered.emplace_back(begin, begin + lengths[rank]);
  }
  return gathered;
}

}  // namespace trireme

#include "data/loader/sampler.h"

#include <glog/logging.h>

#include <limits>
#include <numeric>
#include <utility>

#include "core/base/random.h"

namespace trireme {

Sampler::Sampler(int64_t size, uint64_t seed, bool shuffle) : size_(size), seed_(seed), shuffle_(shuffle) {
  CHECK_GT(size, 0);
  CHECK_LE(size, std::numeric_limits<uint32_t>::max());
}

Sampler::Place Sampler::At(int64_t position) const {
  CHECK_GE(position, 0);
  const int64_t epoch = position / size_, offset = position % size_;
  if (!shuffle_) return {epoch, offset};
  std::lock_guard<std::mutex> lock(mutex_);
  auto& permutation = permutations_[epoch];
  if (permutation == nullptr) {
    std::vector<uint32_t> order(size_);
    std::iota(order.begin(), order.end(), 0u);
    Random random(seed_, RandomUse::kShuffle, static_cast<uint64_t>(epoch));
    for (uint32_t n = static_cast<uint32_t>(size_); n > 1; --n) std::swap(order[n - 1], order[random.Below(n)]);
    permutation = std::make_shared<const std::vector<uint32_t>>(std::move(order));
  }
  const int64_t index = (*permutation)[offset];
  // A batch may reach over an epoch's end, several where the data set is small: earlier epochs may be asked for again.
  constexpr size_t kKept = 4;
  while (permutations_.size() > kKept) {
    permutations_.erase(permutations_.begin()->first < epoch ? permutations_.begin() : std::prev(permutations_.end()));
  }
  return {epoch, index};
}

}  // namespace trireme

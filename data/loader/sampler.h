// Which image comes when: the order of all epochs, joined without a gap.
//
// Sample position p, counted over all workers from the first step on, is image permutation(seed, epoch)[p mod size]
// of epoch p / size. Each epoch's permutation is a Fisher-Yates shuffle drawn from Random(seed, kShuffle, epoch).
// Safe from any thread.
#ifndef TRIREME_DATA_LOADER_SAMPLER_H_
#define TRIREME_DATA_LOADER_SAMPLER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace trireme {

// What one of `world_size` workers takes of a batch: places [first, first + count). The workers' shares follow one
// another in rank order and differ by at most one image.
struct BatchShare {
  int64_t first = 0;
  int64_t count = 0;
};
inline BatchShare ShareOfBatch(int64_t batch_size, int rank, int world_size) {
  const int64_t first = batch_size * rank / world_size;
  return {first, batch_size * (rank + 1) / world_size - first};
}

class Sampler {
 public:
  struct Place {
    int64_t epoch = 0;
    int64_t index = 0;  // of the data set
  };

  // Without `shuffle` every epoch runs from 0 to size - 1.
  Sampler(int64_t size, uint64_t seed, bool shuffle);

  Place At(int64_t position) const;

 private:
  const int64_t size_;
  const uint64_t seed_;
  const bool shuffle_;
  mutable std::mutex mutex_;
  // Of the last few epochs asked for.
  mutable std::map<int64_t, std::shared_ptr<const std::vector<uint32_t>>> permutations_;
};

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_SAMPLER_H_

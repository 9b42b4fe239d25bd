// Which server holds which part of the arena, and in which pieces its gradients and values travel.
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SHARDS_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SHARDS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/nn/parameter_arena.h"
#include "parallel/strategies/buckets.h"

namespace trireme {

// A bucket's part of a shard; what is sent at once. Arena elements.
struct ShardPart {
  int bucket = 0;
  int64_t begin = 0, end = 0;

  int64_t size() const { return end - begin; }
};

// Arena elements [begin, end), one server's.
struct Shard {
  int64_t begin = 0, end = 0;
  std::vector<ShardPart> parts;  // in the order of the buckets; a part may lack, but none is empty

  int64_t size() const { return end - begin; }
  int64_t longest_part() const {
    int64_t longest = 0;
    for (const ShardPart& part : parts) longest = std::max(longest, part.size());
    return longest;
  }
};

// Shards follow one another and cover the arena. They are cut at cache lines, so that they hold equally many lines of
// trained parameters, give or take one; with more servers than lines some hold none.
std::vector<Shard> PlanShards(const ParameterArena& arena, const BucketPlan& buckets, int num_servers);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SHARDS_H_

#include "parallel/strategies/parameter_server/shards.h"

#include <glog/logging.h>

#include <algorithm>

namespace trireme {
namespace {

constexpr int64_t kLine = 16;  // elements; every parameter begins one

int64_t TrainedLines(const Parameter& parameter) {
  return parameter.options.trainable ? (parameter.shape.size() + kLine - 1) / kLine : 0;
}

// The arena element before which `lines` lines of trained parameters lie.
int64_t ElementAfter(const ParameterArena& arena, int64_t lines) {
  for (const Parameter* parameter : arena.parameters()) {
    const int64_t of_this = TrainedLines(*parameter);
    if (lines < of_this) return parameter->offset + lines * kLine;
    lines -= of_this;
  }
  return arena.size();
}

}  // namespace

std::vector<Shard> PlanShards(const ParameterArena& arena, const BucketPlan& buckets, int num_servers) {
  CHECK_GT(num_servers, 0);
  int64_t lines = 0;
  for (const Parameter* parameter : arena.parameters()) lines += TrainedLines(*parameter);
  std::vector<Shard> shards(static_cast<size_t>(num_servers));
  int64_t begin = 0;
  for (int i = 0; i < num_servers; ++i) {
    Shard& shard = shards[static_cast<size_t>(i)];
    shard.begin = begin;
    shard.end = i + 1 == num_servers ? arena.size() : ElementAfter(arena, lines * (i + 1) / num_servers);
    begin = shard.end;
    for (size_t k = 0; k < buckets.buckets.size(); ++k) {
      const Bucket& bucket = buckets.buckets[k];
      const ShardPart part = {static_cast<int>(k), std::max(shard.begin, bucket.begin),
                              std::min(shard.end, bucket.end)};
      if (part.begin < part.end) shard.parts.push_back(part);
    }
  }
  return shards;
}

}  // namespace trireme

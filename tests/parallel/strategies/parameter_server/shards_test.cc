// How the arena is cut among servers, over models, bucket sizes and numbers of servers.
#include "parallel/strategies/parameter_server/shards.h"

#include <random>

#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

class RandomModel : public Module {
 public:
  explicit RandomModel(int seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    const int count = 1 + static_cast<int>(random() % 12);
    for (int i = 0; i < count; ++i) {
      ParameterOptions options;
      options.trainable = random() % 3 != 0;
      AddParameter("p" + std::to_string(i), {1 + static_cast<int64_t>(random() % 700)}, init::Normal(1.0f), options);
    }
  }
};

TEST(ShardsTest, CoverTheArenaInOrderCutAtCacheLinesAndEvenly) {
  const auto device = TestDevice();
  for (int seed = 0; seed < 40; ++seed) {
    RandomModel model(seed);
    const auto arena = ParameterArena::Build(&model, *device, 3, 1);
    ASSERT_TRUE(arena.ok());
    for (const int64_t bucket_bytes : {int64_t{0}, int64_t{900}, int64_t{1} << 30}) {
      const BucketPlan buckets = PlanBuckets(**arena, bucket_bytes / 2, bucket_bytes);
      for (int servers : {1, 2, 3, 5, 8}) {
        const std::vector<Shard> shards = PlanShards(**arena, buckets, servers);
        ASSERT_EQ(static_cast<int>(shards.size()), servers);
        EXPECT_EQ(shards.front().begin, 0);
        EXPECT_EQ(shards.back().end, (*arena)->size());
        std::vector<int> covered(static_cast<size_t>((*arena)->size()), 0);
        std::vector<int64_t> lines;
        for (size_t i = 0; i < shards.size(); ++i) {
          const Shard& shard = shards[i];
          EXPECT_LE(shard.begin, shard.end);
          EXPECT_EQ(shard.begin % 16, 0);
          if (i > 0) {
            EXPECT_EQ(shard.begin, shards[i - 1].end);
          }
          int bucket_before = -1;
          for (const ShardPart& part : shard.parts) {
            EXPECT_GT(part.bucket, bucket_before);
            bucket_before = part.bucket;
            ASSERT_LT(part.begin, part.end);
            EXPECT_GE(part.begin, shard.begin);
            EXPECT_LE(part.end, shard.end);
            for (int64_t k = part.begin; k < part.end; ++k) ++covered[static_cast<size_t>(k)];
          }
          int64_t trained = 0;
          for (const Parameter* parameter : (*arena)->parameters()) {
            if (!parameter->options.trainable) continue;
            for (int64_t k = parameter->offset; k < parameter->offset + parameter->shape.size(); k += 16) {
              trained += k >= shard.begin && k < shard.end;
            }
          }
          lines.push_back(trained);
        }
        EXPECT_LE(*std::max_element(lines.begin(), lines.end()) - *std::min_element(lines.begin(), lines.end()), 1);
        for (const Parameter* parameter : (*arena)->parameters()) {
          if (!parameter->options.trainable) continue;
          for (int64_t k = parameter->offset; k < parameter->offset + parameter->shape.size(); ++k) {
            ASSERT_EQ(covered[static_cast<size_t>(k)], 1) << parameter->name;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace trireme

// Strategies against one worker that has all images, on made-up gradients.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <thread>

#include "core/api/strategy.h"
#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/sgd.pb.h"
#include "parallel/strategies/buckets.h"
#include "parallel/strategies/data_parallel/data_parallel.pb.h"
#include "parallel/strategies/hierarchical/hierarchical.pb.h"
#include "parallel/strategies/hierarchical/hosts.h"
#include "parallel/strategies/ring_all_reduce/ring_all_reduce.pb.h"
#include "parallel/strategies/sharded/sharded.pb.h"
#include "parallel/strategies/single/single.pb.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {
namespace {

// The tape's part: this worker's images, gradients reported in an order of its
// own.
void BackwardPass(const ParameterArena& arena, const Communicator& communicator, int64_t step, GradientSink* sink,
                  int num_reported) {
  const int images = kToyImages / communicator.size();
  std::vector<Parameter*> order = arena.parameters();
  std::reverse(order.begin(), order.end());
  std::shuffle(order.begin(), order.end(), std::mt19937(communicator.rank() + 10 * step));
  order.resize(num_reported);
  for (const Parameter* parameter : order) {
    if (parameter->options.trainable) {
      const int64_t size = parameter->shape.size();
      std::vector<float> sum(size, 0.0f);
      for (int image = communicator.rank() * images; image < (communicator.rank() + 1) * images; ++image) {
        const std::vector<float> part = ToyGradient(step, image, parameter->index, size);
        for (int64_t i = 0; i < size; ++i) sum[i] += part[i];
      }
      WriteGradient(*parameter, sum);
    }
    sink->OnGradientReady(parameter->index);
  }
}

struct Setting {
  std::string strategy;
  std::shared_ptr<google::protobuf::Message> config;
  bool adam = false;
};

// Trains on `world` workers; every worker's arena, padding left out.
std::vector<std::vector<float>> Train(int world, int64_t steps, const Setting& setting,
                                      const std::string& over = "threads") {
  std::vector<std::vector<float>> results(world);
  const Status status = RunJobOver(over, world, [&](Communicator& communicator, Device& device) -> Status {
    ToyModel model;
    // Seeds differ on purpose: rank 0's weights are everybody's.
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 5 + communicator.rank()));
    SgdConfig sgd;
    sgd.set_weight_decay(0.01f);
    TRIREME_ASSIGN_OR_RETURN(const auto optimizer, setting.adam
                                                       ? MakeComponent<Optimizer>("optimizer/adam", AdamConfig())
                                                       : MakeComponent<Optimizer>("optimizer/sgd", sgd));
    TRIREME_ASSIGN_OR_RETURN(
        const auto strategy,
        MakeComponent<Strategy>(setting.strategy, *setting.config, {arena.get(), optimizer.get(), &communicator}));
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    EXPECT_TRUE(strategy->synchronous());
    for (int64_t step = 0; step < steps; ++step) {
      optimizer->BeginStep(step, 0.01f, device.compute_stream());
      strategy->BeginStep(step);
      BackwardPass(*arena, communicator, step, strategy.get(), static_cast<int>(arena->parameters().size()));
      NoGuard guard;
      TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
      EXPECT_GE(strategy->exposed_communication_seconds(), 0);
    }
    const Parameter& last = *arena->parameters().back();
    results[communicator.rank()] = arena->values().Flat(0, last.offset + last.shape.size()).ToVector<float>();
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return results;
}

Setting Single(bool adam) { return {"strategy/single", std::make_shared<SingleConfig>(), adam}; }

BucketConfig Buckets(double bytes, bool overlap) {
  BucketConfig config;
  config.set_size_mb(bytes / (1 << 20));
  config.set_first_size_mb(bytes / 2 / (1 << 20));
  config.set_overlap(overlap);
  return config;
}

Setting RingSetting(double bucket_bytes, bool overlap, bool adam) {
  auto config = std::make_shared<RingAllReduceConfig>();
  *config->mutable_buckets() = Buckets(bucket_bytes, overlap);
  return {"strategy/ring_all_reduce", config, adam};
}

Setting AllReduce(double bucket_bytes, bool overlap, bool adam) {
  auto config = std::make_shared<DataParallelConfig>();
  *config->mutable_buckets() = Buckets(bucket_bytes, overlap);
  return {"strategy/data_parallel", config, adam};
}

Setting GatherToOne(bool adam) {
  auto config = std::make_shared<DataParallelConfig>();
  config->set_reduction(DataParallelConfig::GATHER_TO_ONE);
  return {"strategy/data_parallel", config, adam};
}

Setting Hierarchical(int workers_per_host, double bucket_bytes, bool overlap, bool adam) {
  auto config = std::make_shared<HierarchicalConfig>();
  config->set_workers_per_host(workers_per_host);
  *config->mutable_buckets() = Buckets(bucket_bytes, overlap);
  return {"strategy/hierarchical", config, adam};
}

Setting Sharded(int stage, ShardedConfig::Collectives collectives, double bucket_bytes, bool overlap, bool adam) {
  auto config = std::make_shared<ShardedConfig>();
  config->set_stage(stage);
  config->set_collectives(collectives);
  *config->mutable_buckets() = Buckets(bucket_bytes, overlap);
  return {"strategy/sharded", config, adam};
}

// All synchronous strategies that `world` workers can have.
std::vector<Setting> AllSettings(int world, bool adam, const std::vector<double>& bucket_sizes) {
  std::vector<Setting> settings = {GatherToOne(adam)};
  for (double bucket_bytes : bucket_sizes) {
    for (bool overlap : {true, false}) {
      settings.push_back(RingSetting(bucket_bytes, overlap, adam));
      settings.push_back(AllReduce(bucket_bytes, overlap, adam));
      for (int stage : {1, 2}) {
        settings.push_back(Sharded(stage, ShardedConfig::COMMUNICATOR, bucket_bytes, overlap, adam));
        if (overlap) settings.push_back(Sharded(stage, ShardedConfig::RING, bucket_bytes, overlap, adam));
      }
      for (int workers_per_host : {0, 1, 2}) {
        if (workers_per_host > 0 && world % workers_per_host != 0) continue;
        settings.push_back(Hierarchical(workers_per_host, bucket_bytes, overlap, adam));
      }
    }
  }
  return settings;
}

double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += a[i] * a[i];
  }
  return std::sqrt(difference / norm);
}

// Of each parameter; the largest.
double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  const auto device = TestDevice();
  ToyModel model;
  const auto arena = ParameterArena::Build(&model, *device, 1, 1);
  CHECK(arena.ok()) << arena.status();
  double largest = 0;
  for (const Parameter* parameter : (*arena)->parameters()) {
    const auto of = [&](const std::vector<float>& values) {
      const auto begin = values.begin() + parameter->offset;
      return std::vector<float>(begin, begin + parameter->shape.size());
    };
    largest = std::max(largest, RelativeDifference(of(a), of(b)));
  }
  return largest;
}

class MatrixTest : public ::testing::TestWithParam<std::tuple<std::string, int>> {};

TEST_P(MatrixTest, EachGivesTheWeightsOfOneWorkerOnAllImages) {
  const auto& [communicator, world] = GetParam();
  // Over processes' sockets every message costs what hundreds cost between threads.
  const bool cheap = communicator == "threads";
  for (bool adam : {false, true}) {
    const auto single = Train(1, 20, Single(adam));
    const std::vector<double> bucket_sizes =
        cheap ? std::vector<double>{0.0, 300.0, 1e6} : std::vector<double>{0.0, 1e6};
    for (const Setting& setting : AllSettings(world, adam, bucket_sizes)) {
      const auto trained = Train(world, 20, setting, communicator);
      for (const auto& of_rank : trained) EXPECT_EQ(of_rank, trained[0]);
      EXPECT_LT(LargestDifference(single[0], trained[0]), 1e-5)
          << setting.strategy << " { " << setting.config->ShortDebugString() << " }";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Communicators, MatrixTest,
                         ::testing::Combine(::testing::Values("threads", "gloo"), ::testing::Range(1, 5)),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "Workers" + std::to_string(std::get<1>(info.param));
                         });

TEST(StrategiesTest, TheToyDependsOnEveryImage) {
  // Or the test above would compare nothing.
  EXPECT_GT(RelativeDifference(Train(1, 20, Single(false))[0], Train(1, 19, Single(false))[0]), 1e-3);
}

TEST(StrategiesTest, TheRingIsTheSameInEveryRunAndWithAndWithoutOverlap) {
  const auto first = Train(3, 5, RingSetting(300, true, false));
  EXPECT_EQ(Train(3, 5, RingSetting(300, true, false)), first);
  EXPECT_EQ(Train(3, 5, RingSetting(300, false, false)), first);
}

TEST(StrategiesTest, SingleRefusesTwoWorkers) {
  const Status status = RunJob(2, [](Communicator& communicator, Device&) {
    return MakeComponent<Strategy>("strategy/single", SingleConfig(), {nullptr, nullptr, &communicator}).status();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("workers: 1"), std::string::npos) << status;
}

TEST(StrategiesTest, TheRingRefusesBucketsOfNegativeSize) {
  const Status status = RunJob(1, [](Communicator& communicator, Device& device) -> Status {
    ToyModel model;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, 1, 1));
    RingAllReduceConfig config;
    config.mutable_buckets()->set_size_mb(-1);
    return MakeComponent<Strategy>("strategy/ring_all_reduce", config, {arena.get(), nullptr, &communicator}).status();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("buckets.size_mb is -1"), std::string::npos) << status;
}

TEST(StrategiesTest, HierarchicalRefusesUnequalHosts) {
  const Status status = RunJob(3, [](Communicator& communicator, Device& device) -> Status {
    ToyModel model;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, 3, 1));
    HierarchicalConfig config;
    config.set_workers_per_host(2);
    return MakeComponent<Strategy>("strategy/hierarchical", config, {arena.get(), nullptr, &communicator}).status();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("workers_per_host is 2"), std::string::npos) << status;

  const Status unequal = MakeHostRings({"a", "b", "a"}, 0).status();
  EXPECT_EQ(unequal.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(unequal.message()).find("a has 2, b has 1"), std::string::npos) << unequal;
}

TEST(StrategiesTest, HostRingsFollowTheHostsNamesWhateverTheOrderOfRanks) {
  const auto rings = MakeHostRings({"a", "b", "b", "a"}, 2);
  ASSERT_TRUE(rings.ok());
  EXPECT_EQ(rings->inside.ranks, (std::vector<int>{1, 2}));
  EXPECT_EQ(rings->inside.place, 1);
  EXPECT_EQ(rings->across.ranks, (std::vector<int>{3, 2}));
  EXPECT_EQ(rings->across.place, 1);
}

// Rank 1 dies half-way through the backward pass of step 2.
TEST(StrategiesTest, ADeadPeerIsNamedWithStepAndBucket) {
  for (const Setting& setting :
       {RingSetting(300, true, false), RingSetting(300, false, false), AllReduce(300, true, false),
        Hierarchical(1, 300, true, false), Sharded(1, ShardedConfig::COMMUNICATOR, 300, true, false),
        Sharded(1, ShardedConfig::RING, 300, false, false),
        Sharded(2, ShardedConfig::COMMUNICATOR, 300, true, false)}) {
    Status survivor;
    std::atomic<int64_t> survivor_step{0};
    const Status status = RunJob(2, [&](Communicator& communicator, Device& device) -> Status {
      ToyModel model;
      TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, 2, 5));
      TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/sgd", SgdConfig()));
      TRIREME_ASSIGN_OR_RETURN(
          const auto strategy,
          MakeComponent<Strategy>(setting.strategy, *setting.config, {arena.get(), optimizer.get(), &communicator}));
      TRIREME_RETURN_IF_ERROR(strategy->Setup());
      for (int64_t step = 0;; ++step) {
        optimizer->BeginStep(step, 0.01f, device.compute_stream());
        strategy->BeginStep(step);
        if (communicator.rank() == 0) survivor_step = step;
        const bool dies = communicator.rank() == 1 && step == 2;
        BackwardPass(*arena, communicator, step, strategy.get(), dies ? 6 : 10);
        if (dies) {
          // A peer that has not finished the step before would learn of it
          // there.
          while (survivor_step < step) std::this_thread::yield();
          return absl::DataLossError("the disk is gone");
        }
        NoGuard guard;
        const Status status = strategy->Step(guard);
        if (status.ok()) continue;
        survivor = status;
        return status;
      }
    });
    EXPECT_EQ(status, absl::DataLossError("the disk is gone"));
    for (const char* word : {"rank 0", "step 2", "bucket ", "rank 1"}) {
      EXPECT_NE(std::string(survivor.message()).find(word), std::string::npos) << survivor;
    }
  }
}

TEST(BucketsTest, RunFromTheEndAndCoverEveryTrainedParameterOnce) {
  const auto device = TestDevice();
  ToyModel model;
  const auto arena = ParameterArena::Build(&model, *device, 4, 1);
  ASSERT_TRUE(arena.ok());
  for (int64_t first : {0, 100, 5000, 1000000}) {
    for (int64_t later : {0, 200, 4000, 1000000}) {
      const BucketPlan plan = PlanBuckets(**arena, first, later);
      int64_t before = (*arena)->size();
      int trained = 0;
      for (const Bucket& bucket : plan.buckets) {
        EXPECT_LT(bucket.begin, bucket.end);
        EXPECT_LE(bucket.end, before);
        before = bucket.begin;
        trained += bucket.num_trained;
      }
      EXPECT_EQ(trained, 8);
      for (const Parameter* parameter : (*arena)->parameters()) {
        const int k = plan.bucket_of[parameter->index];
        ASSERT_EQ(k < 0, !parameter->options.trainable);
        if (k < 0) continue;
        EXPECT_GE(parameter->offset, plan.buckets[k].begin);
        EXPECT_LE(parameter->offset + parameter->shape.size(), plan.buckets[k].end);
      }
    }
  }
  EXPECT_EQ(PlanBuckets(**arena, 0, 0).buckets.size(), 8u);
  const BucketPlan two = PlanBuckets(**arena, 100, 1000000);
  ASSERT_EQ(two.buckets.size(), 2u);
  EXPECT_EQ(two.buckets[0].name, "p8 to p9");
  EXPECT_EQ(two.buckets[1].name, "p1 to p7");
}

TEST(BucketsTest, AlignedOnesCoverTheTrainedParametersInEqualParts) {
  const auto device = TestDevice();
  for (int world : {1, 2, 3, 5}) {
    ToyModel model;
    const auto arena = ParameterArena::Build(&model, *device, world, 1);
    const int64_t alignment = 16 * world;
    for (int64_t first : {0, 100, 1000000}) {
      for (int64_t later : {0, 200, 4000, 1000000}) {
        BucketPlan plan = PlanBuckets(**arena, first, later);
        const std::vector<Bucket> before = plan.buckets;
        AlignBuckets(alignment, &plan);
        ASSERT_EQ(plan.buckets.size(), before.size());
        EXPECT_LE(plan.buckets.front().end, (*arena)->size());
        EXPECT_GE(plan.buckets.front().end, before.front().end);
        EXPECT_LE(plan.buckets.back().begin, before.back().begin);
        for (size_t k = 0; k < plan.buckets.size(); ++k) {
          const Bucket& bucket = plan.buckets[k];
          EXPECT_EQ(bucket.begin % alignment, 0);
          EXPECT_EQ(bucket.end % alignment, 0);
          EXPECT_LE(bucket.begin, bucket.end);
          if (k > 0) {
            EXPECT_EQ(bucket.end, plan.buckets[k - 1].begin);
          }
          // Nothing that the bucket does not wait for, but what earlier ones have waited for, and frozen parameters.
          if (k + 1 < plan.buckets.size()) {
            EXPECT_GE(bucket.begin, std::min(before[k].begin, bucket.end));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace trireme

// Checkpoints of runs whose workers hold parts of the optimizer's state, and arrays of their own.
#include <gmock/gmock.h>

#include <numeric>

#include "core/train/checkpoint.h"
#include "core/train/safetensors.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/testing/toy_training.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::ToyOptimizer;
using testing::ToyStrategy;

constexpr int64_t kWide = 500;

class Net : public Module {
 public:
  Net() {
    ParameterOptions frozen;
    frozen.trainable = false;
    AddParameter("first", {33}, init::Normal(1), frozen);
    AddParameter("weight", {kWide, 2}, init::Normal(1));
    AddParameter("bias", {7}, init::Normal(1));
    AddBuffer("running_mean", {3}, 0);
  }
};

class StrategyWithState : public ToyStrategy {
 public:
  using ToyStrategy::ToyStrategy;
  std::vector<std::pair<std::string, Tensor>> State() const override {
    if (!residual.defined()) return {};
    return {{"residual", residual}};
  }
  Tensor residual;
};

// Which parts of the arena a worker holds; -1: to the arena's end.
using Ranges = std::vector<std::pair<int64_t, int64_t>>;

struct Worker {
  Worker(Device& device, int world_size, const Ranges& ranges)
      : arena(*ParameterArena::Build(&net, device, world_size, 1)), strategy({arena.get(), &optimizer, nullptr}) {
    std::vector<ArenaPiece> pieces;
    for (const auto& [begin, end] : ranges) pieces.push_back(PieceOf(*arena, begin, end < 0 ? arena->size() : end));
    CHECK(optimizer.Setup(*arena, pieces).ok());
  }
  CheckpointParts parts() { return {arena.get(), &optimizer, &strategy, {}}; }

  Net net;
  std::unique_ptr<ParameterArena> arena;
  ToyOptimizer optimizer;
  StrategyWithState strategy;
};

// Momentum of element i: i + 1; what a worker has that another rank should give is spoilt.
void Fill(Worker* worker, float spoilt_from) {
  for (const OptimizerState& state : worker->optimizer.State()) {
    std::vector<float> values(static_cast<size_t>(state.values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      const float element = static_cast<float>(state.begin) + static_cast<float>(i);
      values[i] = element >= spoilt_from ? -1.0f : element + 1;
    }
    state.values.CopyFromHost(values.data());
  }
}

Status Save(const std::string& run, const std::vector<Ranges>& by_rank, float spoilt_from = 1e9f) {
  const int world = static_cast<int>(by_rank.size());
  return RunJob(world, [&](Communicator& communicator, Device& device) {
    Worker worker(device, world, by_rank[static_cast<size_t>(communicator.rank())]);
    Fill(&worker, communicator.rank() == 0 ? 1e9f : spoilt_from);
    return SaveCheckpoint(run, 1, {}, worker.parts(), communicator);
  });
}

std::vector<Ranges> Halves() { return {{{48, 300}}, {{300, -1}}}; }

TEST(SharedStateTest, TheFileDoesNotTellWhoHeldWhat) {
  const std::vector<std::vector<Ranges>> ways = {
      {{{0, -1}}},
      Halves(),
      {{{0, -1}}, {}},
      {{}, {{0, -1}}},
      {{{48, 64}, {700, 1000}}, {{64, 65}, {1000, -1}}, {{65, 700}}},
      {{{48, 400}}, {{200, 600}, {900, -1}}, {{0, 48}, {500, 1000}}},  // they overlap
  };
  std::vector<std::vector<float>> momenta;
  for (const std::vector<Ranges>& way : ways) {
    const TemporaryFolder run;
    const Status status = Save(run.path(), way);
    ASSERT_TRUE(status.ok()) << status;
    const auto content = ReadSafetensors(*FindCheckpoint(run.path()) + "/state.safetensors");
    ASSERT_TRUE(content.ok());
    std::vector<float> momentum;
    for (const NamedArray& array : content->arrays) {
      if (array.name == "momentum/weight" || array.name == "momentum/bias") {
        momentum.insert(momentum.end(), array.values.begin(), array.values.end());
      }
      if (array.name == "momentum/first") {
        EXPECT_EQ(array.shape, (Shape{33}));
      }
    }
    momenta.push_back(momentum);
    ASSERT_EQ(momentum.size(), 2u * kWide + 7);
    EXPECT_EQ(momentum[7], 49.0f);  // the bias comes first
    EXPECT_EQ(momentum, momenta[0]);
  }
}

TEST(SharedStateTest, WhatManyHoldIsTheLowestRanks) {
  const TemporaryFolder run;
  ASSERT_TRUE(Save(run.path(), {{{0, -1}}, {{0, -1}}}, /*spoilt_from=*/0).ok());
  const auto content = ReadSafetensors(*FindCheckpoint(run.path()) + "/state.safetensors");
  for (const NamedArray& array : content->arrays) {
    if (array.name == "momentum/weight") {
      EXPECT_EQ(array.values[0], 49.0f);
    }
  }
}

TEST(SharedStateTest, AnyWorkersGoOnWithTheirParts) {
  const TemporaryFolder run;
  ASSERT_TRUE(Save(run.path(), Halves()).ok());
  const std::string checkpoint = *FindCheckpoint(run.path());
  const std::vector<std::vector<Ranges>> ways = {
      {{{0, -1}}}, Halves(), {{{900, -1}}, {{48, 64}, {100, 900}}, {{64, 100}}}, {{}, {{0, -1}}, {}, {}, {}}};
  for (const std::vector<Ranges>& way : ways) {
    for (size_t rank = 0; rank < way.size(); ++rank) {
      const auto device = TestDevice();
      Worker worker(*device, static_cast<int>(way.size()), way[rank]);
      const Status status = LoadTrainingState(checkpoint, static_cast<int>(rank), worker.parts());
      ASSERT_TRUE(status.ok()) << status;
      for (const OptimizerState& state : worker.optimizer.State()) {
        const std::vector<float> values = state.values.ToVector<float>();
        for (const Parameter* parameter : worker.arena->parameters()) {
          if (!parameter->options.trainable) continue;
          for (int64_t i = parameter->offset; i < parameter->offset + parameter->shape.size(); ++i) {
            if (i < state.begin || i >= state.begin + state.values.size()) continue;
            ASSERT_EQ(values[static_cast<size_t>(i - state.begin)], static_cast<float>(i) + 1);
          }
        }
      }
    }
  }
}

TEST(SharedStateTest, StateThatNobodyHoldsIsAFault) {
  const TemporaryFolder run;
  const Status status = Save(run.path(), {{{48, 300}}, {{301, -1}}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("momentum of weight"));
}

// A worker that a resumed run has more starts from rank 0's buffers, not from those of a server that never trained.
TEST(SharedStateTest, RanksThatOnlyServeLeaveNoBuffers) {
  const TemporaryFolder run;
  const Status status = RunJob(3, [&](Communicator& communicator, Device& device) {
    Worker worker(device, 3, {{0, -1}});
    const std::vector<float> mean(static_cast<size_t>(worker.arena->buffer_values().size()),
                                  1.0f + static_cast<float>(communicator.rank()));
    worker.arena->buffer_values().CopyFromHost(mean.data());
    worker.strategy.residual = Tensor::From(device, {2}, std::vector<float>{4, 5});
    CheckpointInfo info;
    info.world_size = 2;
    return SaveCheckpoint(run.path(), 1, info, worker.parts(), communicator);
  });
  ASSERT_TRUE(status.ok()) << status;
  const std::string checkpoint = *FindCheckpoint(run.path());
  for (const auto& [rank, expected] : {std::pair{0, 1.0f}, {1, 2.0f}, {2, 1.0f}, {3, 1.0f}}) {
    const auto device = TestDevice();
    Worker worker(*device, 4, {{0, -1}});
    worker.strategy.residual = Tensor::Zeros(*device, {2});
    ASSERT_TRUE(LoadTrainingState(checkpoint, rank, worker.parts()).ok());
    EXPECT_EQ(worker.arena->buffer_values().ToVector<float>()[0], expected) << rank;
    EXPECT_EQ(worker.strategy.residual.ToVector<float>()[0], rank < 3 ? 4 : 0) << "a server's own arrays it has";
  }
}

TEST(SharedStateTest, EachRanksOwnArraysComeBackToIt) {
  const TemporaryFolder run;
  const int64_t size = 5000000;  // more than one piece
  const Status status = RunJob(2, [&](Communicator& communicator, Device& device) {
    Worker worker(device, 2, {{0, -1}});
    std::vector<float> values(size);
    std::iota(values.begin(), values.end(), 1.0f + static_cast<float>(communicator.rank()));
    worker.strategy.residual = Tensor::From(device, {size}, values);
    return SaveCheckpoint(run.path(), 1, {}, worker.parts(), communicator);
  });
  ASSERT_TRUE(status.ok()) << status;
  for (int rank = 0; rank < 3; ++rank) {
    for (int64_t now : {size, size + 16}) {
      const auto device = TestDevice();
      Worker worker(*device, 1, {{0, -1}});
      worker.strategy.residual = Tensor::Zeros(*device, {now});
      ASSERT_TRUE(LoadTrainingState(*FindCheckpoint(run.path()), rank, worker.parts()).ok());
      std::vector<float> expected(static_cast<size_t>(now), 0.0f);
      if (rank < 2 && now == size) std::iota(expected.begin(), expected.end(), 1.0f + static_cast<float>(rank));
      EXPECT_EQ(worker.strategy.residual.ToVector<float>(), expected) << "rank " << rank << ", size " << now;
    }
    // A strategy that has none leaves them.
    const auto device = TestDevice();
    Worker worker(*device, 1, {{0, -1}});
    EXPECT_TRUE(LoadTrainingState(*FindCheckpoint(run.path()), rank, worker.parts()).ok());
  }
}

}  // namespace
}  // namespace trireme

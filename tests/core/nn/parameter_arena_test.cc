#include "core/nn/parameter_arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Block : public Module {
 public:
  explicit Block(int64_t channels, bool trainable = true) {
    ParameterOptions options;
    options.trainable = trainable;
    AddParameter("weight", {channels, 3, 3, 2}, init::KaimingNormalFanOut(), options);
    AddBuffer("running_mean", {channels}, 0.5f);
    AddParameter("bias", {channels}, init::Constant(0.25f));
  }
};

class Net : public Module {
 public:
  Net() {
    AddModule<Block>("0", 5);
    AddParameter("scale", {1}, init::Constant(20));
    auto deep = std::make_unique<Net>(0);
    AdoptModule("deep", std::move(deep));
  }
  explicit Net(int) {
    AddModule<Block>("a", 7, false);
    AddBuffer("count", {}, 3);
  }
};

class ArenaTest : public ::testing::Test {
 protected:
  std::unique_ptr<ParameterArena> Build(Module* module, int world_size = 1, uint64_t seed = 1) {
    return *ParameterArena::Build(module, *device_, world_size, seed);
  }
  std::unique_ptr<Device> device_ = *MakeDevice("cpu", 1);
};

TEST_F(ArenaTest, NamesAreJoinedByDotsInTheOrderOfDeclaration) {
  Net net;
  const auto arena = Build(&net);
  std::vector<std::string> parameters, buffers;
  for (const Parameter* p : arena->parameters()) parameters.push_back(p->name);
  for (const Buffer* b : arena->buffers()) buffers.push_back(b->name);
  EXPECT_THAT(parameters, ElementsAre("0.weight", "0.bias", "scale", "deep.a.weight", "deep.a.bias"));
  EXPECT_THAT(buffers, ElementsAre("0.running_mean", "deep.a.running_mean", "deep.count"));
}

TEST_F(ArenaTest, RangesAreAlignedApartAndDivideByTheWorld) {
  for (int world_size : {1, 2, 3, 7, 64}) {
    Net net;
    const auto arena = Build(&net, world_size);
    EXPECT_EQ(arena->size() % (16 * world_size), 0);
    EXPECT_EQ(arena->gradients().size(), arena->size());
    int64_t end = 0;
    for (size_t i = 0; i < arena->parameters().size(); ++i) {
      const Parameter& p = *arena->parameters()[i];
      EXPECT_EQ(p.index, static_cast<int>(i));
      EXPECT_EQ(p.offset % 16, 0);
      EXPECT_GE(p.offset, end);
      end = p.offset + p.shape.size();
      EXPECT_EQ(p.value().shape(), p.shape);
      EXPECT_EQ(p.value().raw(), arena->values().data<float>() + p.offset);
    }
    EXPECT_LE(end, arena->size());
    // Padding is zero, and so are all gradients.
    std::vector<float> values = arena->values().ToVector<float>();
    for (const Parameter* p : arena->parameters()) {
      std::fill_n(values.begin() + p->offset, p->shape.size(), 0.0f);
    }
    EXPECT_EQ(values, std::vector<float>(values.size(), 0.0f));
    EXPECT_EQ(arena->gradients().ToVector<float>(), values);
  }
}

TEST_F(ArenaTest, InitialisesAlikeOnEveryWorkerAndUnlikeForAnotherSeed) {
  Net a, b, c;
  const auto one = Build(&a, 1, 5), of_four = Build(&b, 4, 5), other = Build(&c, 1, 6);
  for (size_t i = 0; i < one->parameters().size(); ++i) {
    EXPECT_EQ(one->parameters()[i]->value().ToVector<float>(), of_four->parameters()[i]->value().ToVector<float>());
  }
  EXPECT_NE(one->parameters()[0]->value().ToVector<float>(), other->parameters()[0]->value().ToVector<float>());
  EXPECT_EQ(one->parameters()[2]->value().ToVector<float>(), std::vector<float>{20});
  EXPECT_EQ(one->buffers()[1]->value.ToVector<float>(), std::vector<float>(7, 0.5f));
  EXPECT_EQ(one->buffers()[2]->value.ToVector<float>(), std::vector<float>{3});
}

TEST_F(ArenaTest, FrozenParametersAreConstants) {
  Net net;
  const auto arena = Build(&net);
  EXPECT_TRUE(arena->parameters()[0]->var.requires_gradient());
  EXPECT_EQ(arena->parameters()[4]->var.parameter_index(), 4);
  EXPECT_FALSE(arena->parameters()[3]->var.requires_gradient());
  EXPECT_EQ(arena->NumTrainedValues(), 5 * 18 + 5 + 1 + 7);
  EXPECT_EQ(arena->Vars().size(), 5u);
}

TEST_F(ArenaTest, BuffersAreViewsOfOneArray) {
  Net net;
  const auto arena = Build(&net);
  arena->buffer_values().Zero(device_->compute_stream());
  for (const Buffer* b : arena->buffers()) {
    EXPECT_EQ(b->value.ToVector<float>(), std::vector<float>(b->shape.size(), 0.0f));
  }
}

TEST_F(ArenaTest, AModuleWithoutParametersHasAnArena) {
  Module* empty = new Module;
  const std::unique_ptr<Module> owned(empty);
  const auto arena = Build(empty, 3);
  EXPECT_GT(arena->size(), 0);
  EXPECT_EQ(arena->buffer_values().size(), 0);
}

TEST_F(ArenaTest, MemoryIsCountedByKind) {
  Net net;
  const auto arena = Build(&net);
  MemoryStats stats = device_->memory();
  EXPECT_GE(stats.in_use[static_cast<int>(MemoryKind::kParameters)], 4 * arena->size());
  // Who only looks for objects needs none.
  EXPECT_EQ(stats.in_use[static_cast<int>(MemoryKind::kGradients)], 0);
  arena->gradients();
  stats = device_->memory();
  EXPECT_GE(stats.in_use[static_cast<int>(MemoryKind::kGradients)], 4 * arena->size());
  EXPECT_EQ(stats.in_use[static_cast<int>(MemoryKind::kActivations)], 0);
}

TEST_F(ArenaTest, GradientsAreWrittenWhereTheyAreTold) {
  class Places : public GradientPlaces {
   public:
    Tensor PlaceOf(int index) override { return places[index]; }
    std::map<int, Tensor> places;
  };
  Net net;
  const auto arena = Build(&net);
  Places places;
  arena->PlaceGradients(&places);
  for (const Parameter* p : arena->parameters()) {
    if (!p->options.trainable) continue;
    places.places[p->index] = Tensor::Zeros(*device_, {p->shape.size()});
    const Tensor ones = Tensor::From(*device_, p->shape, std::vector<float>(p->shape.size(), 1.0f));
    for (int pass = 0; pass < 2; ++pass) p->var.AccumulateGradient(ones, device_->compute_stream());
    EXPECT_EQ(p->var.TakeGradient().shape(), p->shape);
    EXPECT_EQ(places.places[p->index].ToVector<float>(), std::vector<float>(p->shape.size(), 2.0f));
  }
  EXPECT_EQ(device_->memory().in_use[static_cast<int>(MemoryKind::kGradients)], 0);
}

class Twins : public Module {
 public:
  explicit Twins(bool buffer) {
    AddParameter("x", {1}, init::Constant(0));
    if (buffer) {
      AddBuffer("x", {1}, 0);
    } else {
      AddParameter("x", {1}, init::Constant(0));
    }
  }
};

class WithoutInitializer : public Module {
 public:
  WithoutInitializer() { AddParameter("weight", {2}, nullptr); }
};

TEST_F(ArenaTest, AParameterWithoutAnInitializerIsRefused) {
  WithoutInitializer module;
  const Status status = ParameterArena::Build(&module, *device_, 1, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("the parameter weight has no initializer"));
}

TEST_F(ArenaTest, TwoOfOneNameAreRefused) {
  for (bool buffer : {false, true}) {
    Twins twins(buffer);
    const Status status = ParameterArena::Build(&twins, *device_, 1, 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("named x"));
  }
}

// Mean and deviation of a filter [64, 3, 3, 32] against their definitions.
TEST(InitializerTest, HaveTheirDeviations) {
  struct Case {
    Initializer initializer;
    double deviation;
    double bound;  // of the largest value; 0: none
  };
  const Shape filter{64, 3, 3, 32};
  const double fan_in = 3 * 3 * 32, fan_out = 3 * 3 * 64;
  const double torch_bound = 1 / std::sqrt(fan_in), xavier_bound = std::sqrt(6 / (fan_in + fan_out));
  for (const Case& c : {Case{init::KaimingNormalFanOut(), std::sqrt(2 / fan_out), 0}, Case{init::Normal(0.3f), 0.3, 0},
                        Case{init::Uniform(0.6f), 0.6 / std::sqrt(3.0), 0.6},
                        Case{init::TorchDefaultUniform(), torch_bound / std::sqrt(3.0), torch_bound},
                        Case{init::XavierUniform(), xavier_bound / std::sqrt(3.0), xavier_bound}}) {
    std::vector<float> values(filter.size());
    Random random(7, RandomUse::kInitialisation);
    c.initializer(filter, &random, values.data(), filter.size());
    double sum = 0, squares = 0, largest = 0;
    for (float v : values) {
      sum += v;
      squares += static_cast<double>(v) * v;
      largest = std::max(largest, std::abs(static_cast<double>(v)));
    }
    const double n = static_cast<double>(values.size());
    EXPECT_NEAR(sum / n, 0, 5 * c.deviation / std::sqrt(n));
    EXPECT_NEAR(std::sqrt(squares / n), c.deviation, 0.03 * c.deviation);
    if (c.bound > 0) {
      EXPECT_LE(largest, c.bound * 1.000001);
      EXPECT_GT(largest, c.bound * 0.99);
    }
  }
}

}  // namespace
}  // namespace trireme

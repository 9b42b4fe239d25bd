// The optimizers against the textbook formulas in double precision, and over
// partitions of the arena.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/api/optimizer.h"
#include "core/base/registry.h"
#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/rules.h"
#include "core/train/optimizers/sgd.pb.h"
#include "gtest/gtest.h"
#include "tests/core/testing/async_device.h"

namespace trireme {
namespace {

StatusOr<std::unique_ptr<Optimizer>> Make(const std::string& key, const google::protobuf::Message& config) {
  google::protobuf::Any any;
  any.set_type_url(key);
  any.set_value(config.SerializeAsString());
  return CreateComponent<Optimizer>(any, "optimizer", {});
}

class Model : public Module {
 public:
  Model() {
    AddParameter("plain", {3, 67}, init::Normal(1.0f));
    AddParameter("same_rule", {5}, init::Normal(1.0f));
    AddParameter("frozen", {33}, init::Normal(1.0f), {1, 1, false});
    AddParameter("bias", {19}, init::Normal(1.0f), {2, 0, true});
    AddParameter("slow", {1001}, init::Normal(1.0f), {0.1f, 1, true});
    AddParameter("one", {1}, init::Normal(1.0f), {0.1f, 1, true});
  }
};

// What an arena and an optimizer are after some steps.
struct Outcome {
  std::vector<float> initial, values;
  std::vector<std::vector<float>> state;
  bool operator==(const Outcome& other) const { return values == other.values && state == other.state; }
};

constexpr int64_t kSteps = 5;
float RateAt(int64_t step) { return 0.1f / (1 + step); }
float GradientAt(int64_t step, int64_t element) { return std::sin(static_cast<float>(element * 13 + step * 71)); }

class OptimizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    device_ = *MakeDevice("cpu", 1);
    BuildArena();
  }

  void BuildArena() {
    arena_.reset();
    model_ = std::make_unique<Model>();
    arena_ = *ParameterArena::Build(model_.get(), *device_, 4, 3);
  }

  // Each step updates the ranges between `cuts`, in the order given by `seed`.
  Outcome Run(const std::string& key, const google::protobuf::Message& config, std::vector<int64_t> cuts = {},
              uint32_t seed = 0) {
    auto made = Make(key, config);
    EXPECT_TRUE(made.ok()) << made.status();
    Optimizer& optimizer = **made;
    Outcome outcome;
    BuildArena();
    EXPECT_TRUE(optimizer.Setup(*arena_, {WholeArena(*arena_)}).ok());
    outcome.initial = arena_->values().ToVector<float>();
    cuts.insert(cuts.begin(), 0);
    cuts.push_back(arena_->size());
    std::sort(cuts.begin(), cuts.end());
    std::vector<size_t> order(cuts.size() - 1);
    std::iota(order.begin(), order.end(), 0);
    for (int64_t step = 0; step < kSteps; ++step) {
      for (const Parameter* parameter : arena_->parameters()) {
        std::vector<float> gradient(parameter->shape.size());
        for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = GradientAt(step, parameter->offset + i);
        arena_->gradients().Flat(parameter->offset, parameter->offset + gradient.size()).CopyFromHost(gradient.data());
      }
      Random random(seed, RandomUse::kShuffle, step);
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
      optimizer.BeginStep(step, RateAt(step), device_->compute_stream());
      for (size_t k : order) optimizer.Update(cuts[k], cuts[k + 1], {}, device_->compute_stream());
    }
    outcome.values = arena_->values().ToVector<float>();
    for (const OptimizerState& state : optimizer.State()) {
      EXPECT_EQ(state.begin, 0) << state.name;
      EXPECT_EQ(state.values.size(), arena_->size()) << state.name;
      outcome.state.push_back(state.values.ToVector<float>());
    }
    return outcome;
  }

  // `reference` trains one element in double precision: (initial, element, rate
  // multiplier, decay multiplier).
  template <class Reference>
  void ExpectLike(const Outcome& outcome, const Reference& reference) {
    std::vector<double> expected(outcome.initial.begin(), outcome.initial.end());
    for (const Parameter* parameter : arena_->parameters()) {
      if (!parameter->options.trainable) continue;
      for (int64_t i = parameter->offset; i < parameter->offset + parameter->shape.size(); ++i) {
        expected[i] = reference(outcome.initial[i], i, parameter->options.learning_rate_multiplier,
                                parameter->options.weight_decay_multiplier);
      }
    }
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(outcome.values[i], expected[i], 2e-6) << "element " << i;
  }

  void ExpectAnyPartitionGivesTheSameBits(const std::string& key, const google::protobuf::Message& config) {
    const Outcome whole = Run(key, config);
    EXPECT_NE(whole.values, whole.initial);
    Random random(1, RandomUse::kSampling);
    for (uint32_t trial = 0; trial < 20; ++trial) {
      std::vector<int64_t> cuts(random.Below(40));
      for (int64_t& cut : cuts) cut = random.Below(static_cast<uint32_t>(arena_->size()));
      ASSERT_TRUE(Run(key, config, cuts, trial) == whole) << "trial " << trial;
    }
    std::vector<int64_t> all(arena_->size() - 1);
    std::iota(all.begin(), all.end(), 1);
    EXPECT_TRUE(Run(key, config, all) == whole);
    arena_.reset();
    model_.reset();
    device_ = *MakeDevice("cpu", 3);
    EXPECT_TRUE(Run(key, config) == whole);
  }

  // The module's tensors are the device's, and go first.
  std::unique_ptr<Device> device_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<ParameterArena> arena_;
};

TEST_F(OptimizerTest, SgdFollowsTheFormula) {
  for (double momentum : {0.0, 0.5, 0.9}) {
    for (bool nesterov : {false, true}) {
      for (double decay : {0.0, 0.1}) {
        if (nesterov && momentum == 0) continue;
        SgdConfig config;
        config.set_momentum(static_cast<float>(momentum));
        config.set_nesterov(nesterov);
        config.set_weight_decay(static_cast<float>(decay));
        ExpectLike(Run("optimizer/sgd", config), [&](double w, int64_t i, double rate_by, double decay_by) {
          double velocity = 0;
          for (int64_t step = 0; step < kSteps; ++step) {
            const double d = GradientAt(step, i) + decay * decay_by * w;
            velocity = momentum * velocity + d;
            w -= RateAt(step) * rate_by * (nesterov ? d + momentum * velocity : velocity);
          }
          return w;
        });
      }
    }
  }
}

TEST_F(OptimizerTest, AdamFollowsTheFormula) {
  for (bool decoupled : {false, true}) {
    for (double decay : {0.0, 0.1}) {
      AdamConfig config;
      config.set_beta2(0.99);
      config.set_weight_decay(static_cast<float>(decay));
      config.set_decoupled_weight_decay(decoupled);
      ExpectLike(Run("optimizer/adam", config), [&](double w, int64_t i, double rate_by, double decay_by) {
        double m = 0, v = 0;
        for (int64_t step = 0; step < kSteps; ++step) {
          const double rate = RateAt(step) * rate_by;
          double d = GradientAt(step, i);
          if (decoupled) {
            w -= rate * decay * decay_by * w;
          } else {
            d += decay * decay_by * w;
          }
          m = 0.9 * m + 0.1 * d;
          v = 0.99 * v + 0.01 * d * d;
          const double m_hat = m / (1 - std::pow(0.9, step + 1.0)), v_hat = v / (1 - std::pow(0.99, step + 1.0));
          w -= rate * m_hat / (std::sqrt(v_hat) + 1e-8);
        }
        return w;
      });
    }
  }
}

TEST_F(OptimizerTest, AnyPartitionGivesTheSameBits) {
  SgdConfig sgd;
  sgd.set_weight_decay(0.03f);
  ExpectAnyPartitionGivesTheSameBits("optimizer/sgd", sgd);
  sgd.set_nesterov(true);
  ExpectAnyPartitionGivesTheSameBits("optimizer/sgd", sgd);
  AdamConfig adam;
  adam.set_weight_decay(0.03f);
  ExpectAnyPartitionGivesTheSameBits("optimizer/adam", adam);
  adam.set_decoupled_weight_decay(true);
  ExpectAnyPartitionGivesTheSameBits("optimizer/adam", adam);
}

// Pieces in memory of their own, as a server's are: each has state of its own, and no more than it needs.
TEST_F(OptimizerTest, AnyPiecesGiveTheSameBits) {
  SgdConfig nesterov;
  nesterov.set_nesterov(true);
  nesterov.set_weight_decay(0.03f);
  AdamConfig adam;
  adam.set_weight_decay(0.03f);
  for (const auto& [key, config] : std::vector<std::pair<std::string, const google::protobuf::Message*>>{
           {"optimizer/sgd", &nesterov}, {"optimizer/adam", &adam}}) {
    const Outcome whole = Run(key, *config);
    for (const std::vector<int64_t>& cuts :
         {std::vector<int64_t>{0, 1, 200, 208, 209, 700, arena_->size()}, {0, 640, arena_->size()}}) {
      BuildArena();
      auto optimizer = *Make(key, *config);
      std::vector<ArenaPiece> pieces;
      for (size_t k = cuts.size() - 1; k-- > 0;) {  // in no order
        pieces.push_back({cuts[k], Tensor::Empty(*device_, {cuts[k + 1] - cuts[k]}),
                          Tensor::Empty(*device_, {cuts[k + 1] - cuts[k]})});
        pieces.back().values.CopyFrom(arena_->values().Flat(cuts[k], cuts[k + 1]), device_->compute_stream());
      }
      ASSERT_TRUE(optimizer->Setup(*arena_, pieces).ok());
      arena_->values().Zero(device_->compute_stream());
      for (int64_t step = 0; step < kSteps; ++step) {
        optimizer->BeginStep(step, RateAt(step), device_->compute_stream());
        for (const ArenaPiece& piece : pieces) {
          std::vector<float> gradient(static_cast<size_t>(piece.gradients.size()), 0.0f);
          for (const Parameter* parameter : arena_->parameters()) {
            for (int64_t i = parameter->offset; i < parameter->offset + parameter->shape.size(); ++i) {
              if (i >= piece.begin && i < piece.end()) gradient[i - piece.begin] = GradientAt(step, i);
            }
          }
          piece.gradients.CopyFromHost(gradient.data());
          // In two ranges where there is room for two.
          const int64_t middle = (piece.begin + piece.end()) / 2;
          if (middle > piece.begin) optimizer->Update(piece.begin, middle, {}, device_->compute_stream());
          optimizer->Update(middle, piece.end(), {}, device_->compute_stream());
        }
      }
      const auto expect_part = [&](const Tensor& part, int64_t begin, const std::vector<float>& all) {
        EXPECT_EQ(part.ToVector<float>(), std::vector<float>(all.begin() + begin, all.begin() + begin + part.size()))
            << key << ", from element " << begin;
      };
      for (const ArenaPiece& piece : pieces) expect_part(piece.values, piece.begin, whole.values);
      const std::vector<OptimizerState> states = optimizer->State();
      ASSERT_EQ(states.size(), pieces.size() * whole.state.size());
      for (size_t i = 0; i < states.size(); ++i) {
        expect_part(states[i].values, states[i].begin, whole.state[i / pieces.size()]);
      }
      EXPECT_EQ(arena_->values().ToVector<float>(), std::vector<float>(arena_->size(), 0.0f));
    }
  }
}

TEST_F(OptimizerTest, WithoutPiecesThereIsNoState) {
  auto adam = *Make("optimizer/adam", AdamConfig());
  ASSERT_TRUE(adam->Setup(*arena_, {}).ok());
  EXPECT_TRUE(adam->State().empty());
  adam->BeginStep(0, 0.1f, device_->compute_stream());
}

TEST_F(OptimizerTest, FrozenParametersAndPaddingStay) {
  SgdConfig sgd;
  sgd.set_weight_decay(0.1f);
  AdamConfig adam;
  adam.set_weight_decay(0.1f);
  for (const Outcome& outcome : {Run("optimizer/sgd", sgd), Run("optimizer/adam", adam)}) {
    std::vector<bool> trained(outcome.values.size(), false);
    for (const Parameter* parameter : arena_->parameters()) {
      if (!parameter->options.trainable) continue;
      std::fill_n(trained.begin() + parameter->offset, parameter->shape.size(), true);
    }
    for (size_t i = 0; i < trained.size(); ++i) {
      EXPECT_EQ(outcome.values[i] == outcome.initial[i], !trained[i]) << "element " << i;
    }
  }
}

TEST_F(OptimizerTest, TheDeviceDecidesWhetherAndByHowMuch) {
  SgdConfig sgd;
  sgd.set_weight_decay(0.1f);
  for (const auto& [key, config] : std::vector<std::pair<std::string, std::string>>{
           {"optimizer/sgd", sgd.SerializeAsString()}, {"optimizer/adam", AdamConfig().SerializeAsString()}}) {
    google::protobuf::Any any;
    any.set_type_url(key);
    any.set_value(config);
    const auto run = [&](float gradient, float multiplier, int32_t apply) {
      auto optimizer = *CreateComponent<Optimizer>(any, "optimizer", {});
      BuildArena();
      EXPECT_TRUE(optimizer->Setup(*arena_, {WholeArena(*arena_)}).ok());
      arena_->gradients().CopyFromHost(std::vector<float>(arena_->size(), gradient).data());
      const Tensor by = Tensor::From<float>(*device_, {1}, {multiplier});
      const Tensor yes = Tensor::From<int32_t>(*device_, {1}, {apply});
      optimizer->BeginStep(0, 0.1f, device_->compute_stream());
      optimizer->Update(0, arena_->size(), {by.data<float>(), yes.data<int32_t>()}, device_->compute_stream());
      std::vector<float> values = arena_->values().ToVector<float>();
      for (const OptimizerState& state : optimizer->State()) {
        const std::vector<float> array = state.values.ToVector<float>();
        values.insert(values.end(), array.begin(), array.end());
      }
      return values;
    };
    EXPECT_EQ(run(4, 0.25f, 1), run(1, 1, 1)) << key;
    EXPECT_NE(run(4, 0.25f, 1), run(4, 1, 1)) << key;
    const std::vector<float> skipped = run(1, 1, 0), nothing = run(std::nanf(""), 1, 0);
    EXPECT_EQ(skipped, nothing) << key << ": not even the state changes";
    EXPECT_NE(skipped, run(1, 1, 1)) << key;
  }
}

// What is recorded once reads the learning rate, and all that depends on the step, anew in every launch.
TEST_F(OptimizerTest, ARecordedUpdateFollowsTheSchedule) {
  for (const std::string key : {"optimizer/sgd", "optimizer/adam"}) {
    google::protobuf::Any any;
    any.set_type_url(key);
    const auto train = [&](Device& device, bool record) {
      Model model;
      const auto arena = *ParameterArena::Build(&model, device, 4, 3);
      const auto optimizer = *CreateComponent<Optimizer>(any, "optimizer", {});
      EXPECT_TRUE(optimizer->Setup(*arena, {WholeArena(*arena)}).ok());
      std::vector<float> gradients(static_cast<size_t>(arena->size()));
      for (size_t i = 0; i < gradients.size(); ++i) gradients[i] = GradientAt(0, static_cast<int64_t>(i));
      arena->gradients().CopyFromHost(gradients.data());
      Stream& stream = device.compute_stream();
      std::unique_ptr<Graph> graph;
      if (record) {
        optimizer->BeginStep(99, 99, stream);  // not what is launched
        device.BeginCapture();
        optimizer->Update(0, arena->size(), {}, stream);
        graph = device.EndCapture();
      }
      for (int64_t step = 0; step < kSteps; ++step) {
        optimizer->BeginStep(step, RateAt(step), stream);
        if (record) {
          graph->Launch();
        } else {
          optimizer->Update(0, arena->size(), {}, stream);
        }
      }
      return arena->values().ToVector<float>();
    };
    const std::vector<float> expected = train(*device_, false);
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      testing::AsyncDeviceOptions options;
      options.seed = seed;
      EXPECT_EQ(train(*testing::MakeAsyncDevice(options), true), expected) << key;
      EXPECT_EQ(train(*testing::MakeAsyncDevice(options), false), expected) << key;
    }
  }
}

// What a GPU runs: one kernel for a range, a rule looked up for each element.
TEST_F(OptimizerTest, RulesByLineGiveTheBitsOfRunsOfOneRule) {
  Stream& stream = device_->compute_stream();
  const auto arrays_of = [&](float first) {
    std::vector<float> values(arena_->size());  // padding is zero
    for (const Parameter* parameter : arena_->parameters()) {
      for (int64_t i = parameter->offset; i < parameter->offset + parameter->shape.size(); ++i) {
        values[i] = std::sin(first + static_cast<float>(i));
      }
    }
    return Tensor::From(*device_, {arena_->size()}, values);
  };
  const std::vector<std::pair<int64_t, int64_t>> ranges = {{0, arena_->size()}, {5, 77}, {100, 101}, {250, 900}};
  for (const auto& [begin, end] : ranges) {
    std::vector<std::vector<float>> by_form[2];
    for (int form = 0; form < 2; ++form) {
      const auto map = MapRules(*arena_, form == 0 ? RuleLookup::kAsTheDeviceLikesIt : RuleLookup::kByLine);
      ASSERT_TRUE(map.ok());
      ASSERT_EQ(map->by_line.defined(), form == 1);
      ASSERT_EQ(map->rules.size(), 3u);
      const Tensor gradients = arrays_of(1), a = arrays_of(2), b = arrays_of(3), c = arrays_of(4);
      for (const SgdConstants& constants : {SgdConstants{0, false}, {0.9f, false}, {0.9f, true}}) {
        const Tensor rules = NewRules<SgdRule>(*device_, 3);
        WriteRules(std::vector<SgdRule>{{0.1f, 0.01f}, {0.2f, 0}, {0.3f, 0.1f}}, rules, stream);
        UpdateBySgd(*map, rules, constants, {0, gradients.data<float>(), a.data<float>(), b.data<float>()}, begin, end,
                    {}, stream);
      }
      const Tensor rules = NewRules<AdamRule>(*device_, 3);
      WriteRules(std::vector<AdamRule>{{0.1f, 0.5f, 0.01f, 1}, {0.2f, 0.6f, 0, 0.9f}, {0.3f, 0.7f, 0, 1}}, rules,
                 stream);
      // Second moments are not negative.
      c.Zero(stream);
      UpdateByAdam(*map, rules, {0.9f, 0.99f, 1e-8f},
                   {0, gradients.data<float>(), a.data<float>(), c.data<float>(), b.data<float>()}, begin, end, {},
                   stream);
      for (const Tensor& tensor : {a, b, c}) by_form[form].push_back(tensor.ToVector<float>());
    }
    EXPECT_EQ(by_form[0], by_form[1]) << begin << " to " << end;
    EXPECT_NE(by_form[0][1], arrays_of(3).ToVector<float>());
  }
}

TEST_F(OptimizerTest, StateIsWhatACheckpointKeeps) {
  SgdConfig sgd;
  auto with_momentum = *Make("optimizer/sgd", sgd);
  ASSERT_TRUE(with_momentum->Setup(*arena_, {WholeArena(*arena_)}).ok());
  ASSERT_EQ(with_momentum->State().size(), 1u);
  EXPECT_EQ(with_momentum->State()[0].name, "momentum");
  sgd.set_momentum(0);
  auto without = *Make("optimizer/sgd", sgd);
  ASSERT_TRUE(without->Setup(*arena_, {WholeArena(*arena_)}).ok());
  EXPECT_TRUE(without->State().empty());
  auto adam = *Make("optimizer/adam", AdamConfig());
  ASSERT_TRUE(adam->Setup(*arena_, {WholeArena(*arena_)}).ok());
  ASSERT_EQ(adam->State().size(), 2u);
  EXPECT_EQ(adam->State()[0].name, "first_moment");
  EXPECT_EQ(adam->State()[1].name, "second_moment");
}

TEST(OptimizerConfigTest, ValuesOutOfRangeAreRefused) {
  const auto expect_refused = [](const std::string& key, const google::protobuf::Message& config, const char* field) {
    const Status status = Make(key, config).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_NE(std::string(status.message()).find(field), std::string::npos) << status;
  };
  SgdConfig sgd;
  sgd.set_momentum(1);
  expect_refused("optimizer/sgd", sgd, "momentum is 1");
  sgd.set_momentum(std::nanf(""));
  expect_refused("optimizer/sgd", sgd, "momentum is nan");
  sgd.set_momentum(0);
  sgd.set_nesterov(true);
  expect_refused("optimizer/sgd", sgd, "nesterov");
  sgd = SgdConfig();
  sgd.set_weight_decay(-1);
  expect_refused("optimizer/sgd", sgd, "weight_decay is -1");
  AdamConfig adam;
  adam.set_beta2(1);
  expect_refused("optimizer/adam", adam, "beta2 is 1");
  adam = AdamConfig();
  adam.set_epsilon(0);
  expect_refused("optimizer/adam", adam, "epsilon is 0");
  adam = AdamConfig();
  adam.set_weight_decay(-1);
  expect_refused("optimizer/adam", adam, "weight_decay is -1");
}

}  // namespace
}  // namespace trireme

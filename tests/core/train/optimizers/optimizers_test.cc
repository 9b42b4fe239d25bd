// The optimizers against the textbook formulas in double precision, and over
// partitions of the arena.
#include <algorithm>
#include <cmath>

#include "core/train/optimizers/adam.pb.h"
#include "core/train/optimizers/sgd.pb.h"
#include "tests/core/train/optimizers/optimizer_fixture.h"

namespace trireme {
namespace {

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
    const OptimizerOutcome whole = Run(key, *config);
    for (const std::vector<int64_t>& cuts :
         {std::vector<int64_t>{0, 1, 200, 208, 209, 700, arena_->size()}, {0, 640, arena_->size()}}) {
      BuildArena();
      auto optimizer = *MakeOptimizer(key, *config);
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
  auto adam = *MakeOptimizer("optimizer/adam", AdamConfig());
  ASSERT_TRUE(adam->Setup(*arena_, {}).ok());
  EXPECT_TRUE(adam->State().empty());
  adam->BeginStep(0, 0.1f, device_->compute_stream());
}

TEST_F(OptimizerTest, FrozenParametersAndPaddingStay) {
  SgdConfig sgd;
  sgd.set_weight_decay(0.1f);
  AdamConfig adam;
  adam.set_weight_decay(0.1f);
  for (const OptimizerOutcome& outcome : {Run("optimizer/sgd", sgd), Run("optimizer/adam", adam)}) {
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

TEST_F(OptimizerTest, StateIsWhatACheckpointKeeps) {
  SgdConfig sgd;
  auto with_momentum = *MakeOptimizer("optimizer/sgd", sgd);
  ASSERT_TRUE(with_momentum->Setup(*arena_, {WholeArena(*arena_)}).ok());
  ASSERT_EQ(with_momentum->State().size(), 1u);
  EXPECT_EQ(with_momentum->State()[0].name, "momentum");
  sgd.set_momentum(0);
  auto without = *MakeOptimizer("optimizer/sgd", sgd);
  ASSERT_TRUE(without->Setup(*arena_, {WholeArena(*arena_)}).ok());
  EXPECT_TRUE(without->State().empty());
  auto adam = *MakeOptimizer("optimizer/adam", AdamConfig());
  ASSERT_TRUE(adam->Setup(*arena_, {WholeArena(*arena_)}).ok());
  ASSERT_EQ(adam->State().size(), 2u);
  EXPECT_EQ(adam->State()[0].name, "first_moment");
  EXPECT_EQ(adam->State()[1].name, "second_moment");
}

TEST(OptimizerConfigTest, ValuesOutOfRangeAreRefused) {
  const auto expect_refused = [](const std::string& key, const google::protobuf::Message& config, const char* field) {
    const Status status = MakeOptimizer(key, config).status();
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

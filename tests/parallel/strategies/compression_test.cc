// Gradients in 16 bits on the wire: nothing is lost, half is sent, all workers have the same bits.
#include "parallel/strategies/compression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/match.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/optimizers/sgd.pb.h"
#include "core/train/safetensors.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/strategies/toy_job.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {
namespace {

constexpr DataType kTypes[] = {DataType::kBfloat16, DataType::kFloat16};

class CompressionTest : public ::testing::Test {
 protected:
  CompressionTest() : device_(TestDevice()), arena_(*ParameterArena::Build(&model_, *device_, 1, 1)) {}

  // What a worker that is alone is left with after [begin, end) went over the wire in one piece.
  std::vector<float> Send(GradientCompression* compression, const std::vector<float>& gradients, int64_t begin,
                          int64_t end) {
    Stream& stream = device_->compute_stream();
    arena_->gradients().CopyFromHost(gradients.data());
    const Tensor range = arena_->gradients().Flat(begin, end);
    compression->Expand(compression->Compress(begin, range, stream), range, stream);
    return arena_->gradients().ToVector<float>();
  }
  std::vector<float> Residual(const GradientCompression& compression) {
    return compression.State()[0].second.ToVector<float>();
  }

  std::unique_ptr<Device> device_;
  ToyModel model_;
  std::unique_ptr<ParameterArena> arena_;
};

TEST_F(CompressionTest, WhatWasSentAndTheResidualAreTheSumOfAllGradients) {
  for (const DataType type : kTypes) {
    const int64_t size = arena_->size(), begin = 16, end = size - 5;
    GradientCompression compression(*arena_, type, size, /*may_skip=*/false);
    std::vector<double> sent(size, 0.0), all(size, 0.0);
    double rounded = 0;
    Random random(3, RandomUse::kSynthesis);
    for (int step = 0; step < 50; ++step) {
      std::vector<float> gradients(size);
      // Some are larger than float16 can hold.
      for (float& gradient : gradients)
        gradient = std::exp(random.Uniform(-12, step % 10 == 0 ? 12 : 6)) * random.Normal();
      const std::vector<float> received = Send(&compression, gradients, begin, end);
      for (int64_t i = 0; i < size; ++i) {
        if (i < begin || i >= end) {
          EXPECT_EQ(received[i], gradients[i]) << "outside of the range";
        }
        rounded += received[i] != gradients[i] ? 1 : 0;
        sent[i] += received[i];
        all[i] += gradients[i];
      }
    }
    EXPECT_GT(rounded, 20.0 * size) << "or nothing was rounded";
    const std::vector<float> residual = Residual(compression);
    for (int64_t i = begin; i < end; ++i) {
      EXPECT_NEAR(sent[i] + residual[i], all[i], 2e-5 * (1 + std::abs(all[i]) + std::abs(sent[i]))) << i;
    }
    for (int64_t i : {int64_t{0}, begin - 1, end, size - 1}) EXPECT_EQ(residual[i], 0);
  }
}

TEST_F(CompressionTest, ASmallPartOfAGradientArrivesInTheEnd) {
  for (const DataType type : kTypes) {
    GradientCompression compression(*arena_, type, arena_->size(), /*may_skip=*/false);
    // A tenth of a step of the type's from 1.
    const float gradient = 1 + (type == DataType::kBfloat16 ? 1.0f / 1280 : 1.0f / 10240);
    double sent = 0;
    for (int step = 0; step < 1000; ++step) {
      sent += Send(&compression, std::vector<float>(arena_->size(), gradient), 0, arena_->size())[7];
    }
    EXPECT_NEAR(sent, 1000.0 * gradient, 0.01) << "without feedback it would be 1000";
  }
}

TEST_F(CompressionTest, WhatIsNotFiniteIsSentAndNotKept) {
  for (const DataType type : kTypes) {
    GradientCompression compression(*arena_, type, arena_->size(), /*may_skip=*/false);
    std::vector<float> gradients(arena_->size(), 1.0001f);
    Send(&compression, gradients, 0, arena_->size());
    const std::vector<float> before = Residual(compression);
    gradients[3] = std::numeric_limits<float>::infinity();
    gradients[40] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<float> sent = Send(&compression, gradients, 0, arena_->size());
    EXPECT_TRUE(std::isinf(sent[3]));
    EXPECT_TRUE(std::isnan(sent[40]));
    const std::vector<float> after = Residual(compression);
    for (float value : after) EXPECT_TRUE(std::isfinite(value));
    EXPECT_EQ(after[3], before[3]);
    EXPECT_EQ(after[40], before[40]);
  }
}

// Decides as it is told.
class ToldGuard : public GradientGuard {
 public:
  ToldGuard(Device& device, bool apply, float change)
      : apply_(Tensor::From<int32_t>(device, {1}, {apply ? 1 : 0})),
        change_(Tensor::From<float>(device, {1}, {change})) {}
  bool waits_for_all() const override { return true; }
  void Inspect(int64_t, const Tensor&, Stream&) override {}
  Status Decide(bool, Stream&) override { return absl::OkStatus(); }
  UpdateControl control() const override { return {nullptr, apply_.data<int32_t>()}; }
  const float* scale_change() const override { return change_.data<float>(); }

 private:
  const Tensor apply_, change_;
};

TEST_F(CompressionTest, ASkippedStepLeavesTheResidualAndAScaleThatChangesTakesItAlong) {
  for (const DataType type : kTypes) {
    const int64_t size = arena_->size();
    GradientCompression compression(*arena_, type, size, /*may_skip=*/true), plain(*arena_, type, size, false);
    Stream& stream = device_->compute_stream();
    Random random(4, RandomUse::kSynthesis);
    // Far from where float16 has fewer bits.
    constexpr float kPlainScale = 1024;
    float scale = kPlainScale;
    for (int step = 0; step < 20; ++step) {
      const bool skipped = step % 5 == 3, grows = step % 7 == 6;
      std::vector<float> gradients(static_cast<size_t>(size)), scaled = gradients;
      for (size_t i = 0; i < gradients.size(); ++i) {
        const float gradient = random.Normal();
        gradients[i] = kPlainScale * gradient;
        scaled[i] = scale * gradient;
      }
      if (skipped) scaled[5] = std::numeric_limits<float>::infinity();
      const std::vector<float> sent = Send(&compression, scaled, 0, size);
      const float change = skipped ? 0.5f : grows ? 2.0f : 1.0f;
      compression.Decided(ToldGuard(*device_, !skipped, change), stream);
      if (!skipped) {
        // As if the scale had not changed, and the other steps had not been.
        const std::vector<float> expected = Send(&plain, gradients, 0, size);
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_EQ(sent[i], scale / kPlainScale * expected[i]) << step << ", " << i;
        }
      }
      scale *= change;
      const std::vector<float> residual = Residual(compression), expected = Residual(plain);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(residual[i], scale / kPlainScale * expected[i]) << step << ", " << i;
      }
    }
    EXPECT_NE(scale, kPlainScale);
  }
}

struct Trained {
  std::vector<std::vector<float>> values;  // by rank, padding left out
  std::vector<int64_t> bytes_sent;         // by rank
};

// Large enough for messages to travel as large ones do.
class LargeModel : public Module {
 public:
  LargeModel() {
    for (const char* name : {"a", "b", "c"}) AddParameter(name, {100000}, init::Constant(1));
  }
};

template <class Model = ToyModel>
Trained Train(int world, const std::string& strategy_text, uint64_t asynchronous, int64_t steps = 12,
              int images = kToyImages, const std::string& over = "threads") {
  Trained trained;
  trained.values.resize(world);
  trained.bytes_sent.resize(world);
  const auto worker = [&](Communicator& communicator, Device& device) -> Status {
    Model model;
    TRIREME_ASSIGN_OR_RETURN(const std::unique_ptr<ParameterArena> arena,
                             ParameterArena::Build(&model, device, world, 5));
    TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/sgd", SgdConfig()));
    TRIREME_ASSIGN_OR_RETURN(auto strategy, MakeStrategy(strategy_text, {arena.get(), optimizer.get(), &communicator}));
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    const int share = images / world;
    for (int64_t step = 0; step < steps; ++step) {
      optimizer->BeginStep(step, 0.01f, device.compute_stream());
      strategy->BeginStep(step);
      for (auto it = arena->parameters().rbegin(); it != arena->parameters().rend(); ++it) {
        const Parameter& parameter = **it;
        const int64_t size = parameter.shape.size();
        if (parameter.options.trainable) {
          std::vector<float> gradient(size, 0.0f);
          for (int image = communicator.rank() * share; image < (communicator.rank() + 1) * share; ++image) {
            const std::vector<float> part = ToyGradient(step, image, parameter.index, size);
            for (int64_t i = 0; i < size; ++i) gradient[i] += part[i];
          }
          WriteGradient(parameter, gradient);
        }
        strategy->OnGradientReady(parameter.index);
      }
      NoGuard guard;
      TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
    }
    TRIREME_RETURN_IF_ERROR(strategy->Settle());
    const Parameter& last = *arena->parameters().back();
    trained.values[communicator.rank()] = arena->values().Flat(0, last.offset + last.shape.size()).ToVector<float>();
    // Its threads count what they send when it is sent.
    strategy.reset();
    trained.bytes_sent[communicator.rank()] = communicator.bytes_sent();
    return absl::OkStatus();
  };
  const Status status = asynchronous == 0 ? RunJobOver(over, world, worker) : RunAsyncJob(world, asynchronous, worker);
  EXPECT_TRUE(status.ok()) << status;
  return trained;
}

// All others send it their gradients; it keeps its own as they are.
bool OnlyReceives(const std::string& strategy, int rank) {
  return rank == 0 && (absl::StrContains(strategy, "GATHER_TO_ONE") || absl::StrContains(strategy, "num_servers: 1"));
}

TEST(CompressionOfStrategiesTest, GivesAllWorkersTheSameBits) {
  const std::string buckets = "size_mb: 0.0005 first_size_mb: 0.0001";
  for (int world = 1; world <= 4; ++world) {
    const auto plain = SynchronousStrategies(world, buckets);
    for (const auto& [type, rounding] : {std::make_pair("BF16", 4e-3), std::make_pair("FP16", 5e-4)}) {
      const auto compressed = SynchronousStrategies(world, absl::StrCat(buckets, " compression: ", type));
      for (size_t i = 0; i < plain.size(); ++i) {
        const Trained wide = Train(world, plain[i], 0), narrow = Train(world, compressed[i], 0);
        const std::string what = absl::StrCat(compressed[i], ", ", world, " workers");
        for (int rank = 0; rank < world; ++rank) {
          EXPECT_EQ(narrow.values[rank], narrow.values[0]) << what;
        }
        if (plain[i] == compressed[i] || world == 1) {
          EXPECT_EQ(narrow.values, wide.values) << what << ": nothing is sent in fewer bits";
        } else {
          const double difference = RelativeDifference(wide.values[0], narrow.values[0]);
          EXPECT_GT(difference, 0) << what;
          EXPECT_LT(difference, rounding) << what;
        }
        EXPECT_EQ(Train(world, compressed[i], 5).values, narrow.values) << what << ", beside the host";
        const Trained over_gloo = Train(world, compressed[i], 0, 12, kToyImages, "gloo");
        for (const auto& of_rank : over_gloo.values) EXPECT_EQ(of_rank, over_gloo.values[0]) << what << ", Gloo";
        // Whose sums are rounded after each worker's part.
        EXPECT_LT(RelativeDifference(wide.values[0], over_gloo.values[0]), rounding) << what << ", Gloo";
      }
    }
  }
}

// By rank, of a run's newest checkpoint.
std::vector<std::vector<float>> ResidualsIn(const std::string& run) {
  std::vector<std::vector<float>> residuals;
  const auto content = ReadSafetensors(*FindCheckpoint(run) + "/state.safetensors");
  CHECK(content.ok()) << content.status();
  for (const NamedArray& array : content->arrays) {
    if (absl::StrContains(array.name, "residual")) residuals.push_back(array.values);
  }
  return residuals;
}

TEST(CompressionOfStrategiesTest, AStepThatIsSkippedLosesNothing) {
  for (int world : {2, 3}) {
    for (const std::string& strategy : SynchronousStrategies(world, "size_mb: 0.0005 compression: BF16")) {
      if (!absl::StrContains(strategy, "BF16")) continue;
      ToyJob job;
      job.world = world;
      job.strategy = strategy;
      job.guard.loss_scale.enabled = true;
      job.guard.loss_scale.initial = 1024;
      job.steps = 4;
      const testing::TemporaryFolder before, after;
      job.save_to = before.path();
      ASSERT_TRUE(Train(job).status.ok());
      job.steps = 5;
      job.overflow_step = 4;
      job.save_to = after.path();
      const ToyOutcome skipped = Train(job);
      ASSERT_TRUE(skipped.status.ok());
      ASSERT_FALSE(skipped.applied[0].back());
      const auto expected = ResidualsIn(before.path()), residuals = ResidualsIn(after.path());
      ASSERT_EQ(residuals.size(), static_cast<size_t>(OnlyReceives(strategy, 0) ? world - 1 : world)) << strategy;
      for (size_t rank = 0; rank < residuals.size(); ++rank) {
        double sum = 0;
        for (size_t i = 0; i < residuals[rank].size(); ++i) {
          sum += std::abs(residuals[rank][i]);
          ASSERT_EQ(residuals[rank][i], 0.5f * expected[rank][i]) << strategy << ": the scale is half of what it was";
        }
        EXPECT_GT(sum, 0) << strategy;
      }
    }
  }
}

// By rank, in two steps of a strategy: what more of them send.
std::vector<double> SentInTwoSteps(int world, const std::string& strategy) {
  const Trained one = Train<LargeModel>(world, strategy, 0, 1, world),
                three = Train<LargeModel>(world, strategy, 0, 3, world);
  std::vector<double> sent;
  for (size_t rank = 0; rank < one.bytes_sent.size(); ++rank) {
    sent.push_back(static_cast<double>(three.bytes_sent[rank] - one.bytes_sent[rank]));
  }
  return sent;
}

TEST(CompressionOfStrategiesTest, SendsHalf) {
  for (int world : {2, 4}) {
    const auto plain = SynchronousStrategies(world, "size_mb: 0.5"),
               compressed = SynchronousStrategies(world, "size_mb: 0.5 compression: BF16");
    for (size_t i = 0; i < plain.size(); ++i) {
      if (plain[i] == compressed[i]) continue;
      const std::vector<double> wide = SentInTwoSteps(world, plain[i]), narrow = SentInTwoSteps(world, compressed[i]);
      // Parameters, which are half of what is sent where each worker updates a share of them, travel as they are.
      const bool has_share = absl::StrContains(plain[i], "sharded") ||
                             (absl::StrContains(plain[i], "parameter_server") && !OnlyReceives(plain[i], 0));
      for (int rank = 0; rank < world; ++rank) {
        const double expected = OnlyReceives(plain[i], rank) ? 1 : has_share ? 0.75 : 0.5;
        EXPECT_NEAR(narrow[rank] / wide[rank], expected, 0.01) << compressed[i] << ", rank " << rank << " of " << world;
      }
    }
  }
}

}  // namespace
}  // namespace trireme

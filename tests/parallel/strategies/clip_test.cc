// Clipping by the global norm under each strategy, against float64 arithmetic on all images.
#include <gtest/gtest.h>

#include <cmath>

#include "core/train/optimizers/sgd.pb.h"
#include "core/train/step_guard.h"
#include "tests/parallel/strategies/synchronous_strategies.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/gloo_jobs.h"

namespace trireme {
namespace {

constexpr int64_t kSteps = 5;
constexpr float kRate = 0.05f;
constexpr float kClip = 60;  // between the norms of the steps
constexpr char kBesideTheHost[] = "beside the host";

struct Trained {
  std::vector<double> norms;
  std::vector<std::vector<float>> values;  // by rank, padding left out
};

// The gradients of images [begin, end), summed.
std::vector<float> Gradient(int64_t step, int begin, int end, const Parameter& parameter) {
  std::vector<float> sum(parameter.shape.size(), 0.0f);
  for (int image = begin; image < end; ++image) {
    const std::vector<float> part = ToyGradient(step, image, parameter.index, parameter.shape.size());
    // So that some steps are under the bound.
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i] / static_cast<float>(1 + step % 3);
  }
  return sum;
}

// `over` a communicator as RunJobOver has it, or on devices "beside the host".
Trained Train(int world, const std::string& strategy_text, const std::string& over) {
  Trained trained;
  trained.values.resize(world);
  const auto worker = [&](Communicator& communicator, Device& device) -> Status {
    ToyModel model;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 5));
    SgdConfig config;
    config.set_momentum(0);
    config.set_weight_decay(0);
    TRIREME_ASSIGN_OR_RETURN(const auto optimizer, MakeComponent<Optimizer>("optimizer/sgd", config));
    TRIREME_ASSIGN_OR_RETURN(const auto strategy,
                             MakeStrategy(strategy_text, {arena.get(), optimizer.get(), &communicator}));
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    StepGuardOptions options;
    options.clip_norm = kClip;
    StepGuard guard(*arena, communicator, options);
    Stream& stream = device.compute_stream();
    const Tensor losses = Tensor::Zeros(device, {world, 1});
    const Tensor summary = Tensor::Zeros(device, {StepGuard::kSummarySize});
    const int share = kToyImages / world;
    for (int64_t step = 0; step < kSteps; ++step) {
      optimizer->BeginStep(step, kRate, stream);
      strategy->BeginStep(step);
      for (auto it = arena->parameters().rbegin(); it != arena->parameters().rend(); ++it) {
        const Parameter& parameter = **it;
        if (parameter.options.trainable) {
          const int first = communicator.rank() * share;
          WriteGradient(parameter, Gradient(step, first, first + share, parameter));
        }
        strategy->OnGradientReady(parameter.index);
      }
      guard.InspectLosses(losses, 0, stream);
      TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
      guard.WriteSummary(summary, stream);
      const std::vector<float> values = summary.ToVector<float>();
      EXPECT_EQ(values[0], 1);
      if (communicator.rank() == 0) trained.norms.push_back(values[2]);
    }
    TRIREME_RETURN_IF_ERROR(strategy->Settle());
    const Parameter& last = *arena->parameters().back();
    trained.values[communicator.rank()] = arena->values().Flat(0, last.offset + last.shape.size()).ToVector<float>();
    return absl::OkStatus();
  };
  const Status status = over == kBesideTheHost ? RunAsyncJob(world, 7, worker) : RunJobOver(over, world, worker);
  EXPECT_TRUE(status.ok()) << status;
  return trained;
}

TEST(ClipTest, EachStrategyDoesWhatFloat64DoesOnAllImages) {
  // The reference.
  const auto device = TestDevice();
  ToyModel model;
  const auto arena = ParameterArena::Build(&model, *device, 1, 5);
  ASSERT_TRUE(arena.ok());
  const Parameter& last = *(*arena)->parameters().back();
  const std::vector<float> start = (*arena)->values().Flat(0, last.offset + last.shape.size()).ToVector<float>();
  std::vector<double> values(start.begin(), start.end()), norms;
  int clipped = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    std::vector<double> gradient(values.size(), 0.0);
    double squares = 0;
    for (const Parameter* parameter : (*arena)->parameters()) {
      if (!parameter->options.trainable) continue;
      const std::vector<float> of_all = Gradient(step, 0, kToyImages, *parameter);
      for (size_t i = 0; i < of_all.size(); ++i) {
        squares += static_cast<double>(of_all[i]) * of_all[i];
        gradient[parameter->offset + i] = of_all[i] * static_cast<double>(parameter->options.learning_rate_multiplier);
      }
    }
    norms.push_back(std::sqrt(squares));
    clipped += norms.back() > kClip ? 1 : 0;
    const double by = std::min(1.0, kClip / (norms.back() + 1e-6));
    for (size_t i = 0; i < values.size(); ++i) values[i] -= kRate * by * gradient[i];
  }
  ASSERT_GT(clipped, 0);
  ASSERT_LT(clipped, kSteps);

  for (int world = 1; world <= 4; ++world) {
    for (const std::string& strategy : SynchronousStrategies(world)) {
      for (const char* over : {"threads", "gloo", kBesideTheHost}) {
        const std::string what = absl::StrCat(strategy, ", ", world, " workers, ", over);
        const Trained trained = Train(world, strategy, over);
        ASSERT_EQ(trained.norms.size(), norms.size()) << what;
        for (size_t i = 0; i < norms.size(); ++i) EXPECT_NEAR(trained.norms[i], norms[i], 1e-6 * norms[i]) << what;
        double difference = 0, norm = 0;
        for (size_t i = 0; i < values.size(); ++i) {
          difference += std::pow(trained.values[0][i] - values[i], 2);
          norm += std::pow(values[i], 2);
        }
        EXPECT_LT(std::sqrt(difference / norm), 1e-6) << what;
        for (const auto& of_rank : trained.values) EXPECT_EQ(of_rank, trained.values[0]) << what;
      }
    }
  }
}

}  // namespace
}  // namespace trireme

// Clipping by the global norm, against the norm in float64.
#include "core/train/step_guard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "tests/core/testing/fake_job.h"

namespace trireme {
namespace {

class Parameters : public Module {
 public:
  Parameters() {
    int index = 0;
    for (int64_t size : {7, 1, 130, 16, 33, 5000}) {
      ParameterOptions options;
      options.trainable = index != 2;
      AddParameter("p" + std::to_string(index++), {size}, init::Constant(0), options);
    }
  }
};

struct Decision {
  double applied = 0, loss_scale = 0, norm = 0;
  double multiplier = 0;
};

// The trained gradients, each drawn times `size`; the first of the last parameter is `odd` if that is no 0.
std::vector<float> Gradients(const ParameterArena& arena, float size, float odd, double* norm) {
  std::vector<float> gradients(arena.size(), 0.0f);
  Random random(3, RandomUse::kSynthesis);
  double squares = 0;
  for (const Parameter* parameter : arena.parameters()) {
    if (!parameter->options.trainable) continue;
    for (int64_t i = 0; i < parameter->shape.size(); ++i) {
      float& gradient = gradients[parameter->offset + i];
      gradient = size * random.Normal();
      if (odd != 0 && i == 0 && parameter == arena.parameters().back()) gradient = odd;
      squares += static_cast<double>(gradient) * gradient;
    }
  }
  *norm = std::sqrt(squares);
  return gradients;
}

// One decision, on every rank. `parts` cuts the arena; with `shares` each rank inspects every world-th part only.
std::vector<Decision> Decide(int world, bool shares, int parts, const StepGuardOptions& options, float size, float odd,
                             double* norm) {
  std::vector<Decision> decisions(world);
  const auto statuses = testing::RunFakeJob(world, [&](Communicator& communicator) -> Status {
    const auto device = *MakeDevice("cpu", 1);
    device->BindToThisThread();
    Parameters module;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&module, *device, world, 1));
    double of_rank = 0;
    arena->gradients().CopyFromHost(Gradients(*arena, size, odd, &of_rank).data());
    if (communicator.rank() == 0) *norm = of_rank;
    StepGuard guard(*arena, communicator, options);
    Stream& stream = device->compute_stream();
    guard.InspectLosses(Tensor::Zeros(*device, {world, 1}), 0, stream);
    EXPECT_TRUE(guard.waits_for_all());
    for (int part = 0; part < parts; ++part) {
      if (shares && part % world != communicator.rank()) continue;
      const int64_t begin = arena->size() * part / parts, end = arena->size() * (part + 1) / parts;
      guard.Inspect(begin, arena->gradients().Flat(begin, end), stream);
    }
    TRIREME_RETURN_IF_ERROR(guard.Decide(!shares, stream));
    const Tensor summary = Tensor::Zeros(*device, {StepGuard::kSummarySize});
    guard.WriteSummary(summary, stream);
    const std::vector<float> values = summary.ToVector<float>();
    decisions[communicator.rank()] = {values[0], values[1], values[2], *guard.control().gradient_multiplier};
    return absl::OkStatus();
  });
  for (const Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  return decisions;
}

StepGuardOptions ClipTo(float norm) {
  StepGuardOptions options;
  options.clip_norm = norm;
  return options;
}

TEST(StepGuardTest, ClipsToTheNormWhoeverInspectsWhat) {
  for (float size : {1e-3f, 1.0f, 1e15f}) {
    for (float clip : {1e-2f, 3.0f, 1e30f}) {
      for (int world : {1, 2, 3}) {
        for (bool shares : {false, true}) {
          for (int parts : {1, 5, 64}) {
            double norm = 0;
            for (const Decision& decision : Decide(world, shares, parts, ClipTo(clip), size, 0, &norm)) {
              EXPECT_EQ(decision.applied, 1);
              EXPECT_NEAR(decision.norm, norm, 1e-7 * norm);
              const double expected = norm > clip ? clip / (norm + 1e-6) : 1;
              EXPECT_NEAR(decision.multiplier, expected, 1e-7 * expected) << size << " to " << clip;
            }
          }
        }
      }
    }
  }
}

TEST(StepGuardTest, TheNormIsThatWithoutTheScaleOfTheLosses) {
  StepGuardOptions options = ClipTo(0.5f);
  options.loss_scale.enabled = true;
  options.loss_scale.initial = 1024;
  for (bool shares : {false, true}) {
    double norm = 0;
    for (const Decision& decision : Decide(2, shares, 7, options, 1024 * 0.1f, 0, &norm)) {
      norm = norm / 1024;
      EXPECT_EQ(decision.loss_scale, 1024);
      EXPECT_NEAR(decision.norm, norm, 1e-6 * norm);
      EXPECT_NEAR(decision.multiplier, 0.5 / (norm + 1e-6) / 1024, 1e-9);
      norm = norm * 1024;
    }
  }
}

TEST(StepGuardTest, AGradientThatIsNotFiniteIsNotAppliedOnAnyRank) {
  for (float odd : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (bool scales : {false, true}) {
      for (bool shares : {false, true}) {
        StepGuardOptions options = ClipTo(1);
        options.loss_scale.enabled = scales;
        double norm = 0;
        for (const Decision& decision : Decide(3, shares, 4, options, 1, odd, &norm)) {
          EXPECT_EQ(decision.applied, 0);
          EXPECT_FALSE(std::isfinite(decision.norm));
        }
      }
    }
  }
}

}  // namespace
}  // namespace trireme

// What strategies ask of a guard: to see all reduced gradients, to decide, and only then an update under its control.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/api/gradient_guard.h"
#include "core/api/strategy.h"
#include "core/train/optimizers/sgd.pb.h"
#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

// Notes the ranges that it is shown; the device's flag decides.
class NotingGuard : public GradientGuard {
 public:
  NotingGuard(Device& device, bool waits, bool apply)
      : waits_(waits), apply_(Tensor::From<int32_t>(device, {1}, {apply ? 1 : 0})) {}
  bool waits_for_all() const override { return waits_; }
  void Inspect(int64_t begin, const Tensor& gradients, Stream&) override {
    EXPECT_FALSE(decided);
    inspected.emplace_back(begin, begin + gradients.size());
  }
  Status Decide(bool replicated, Stream&) override {
    EXPECT_TRUE(replicated) << "each of these gives all workers the same sums";
    EXPECT_FALSE(decided);
    decided = true;
    return absl::OkStatus();
  }
  UpdateControl control() const override { return {nullptr, apply_.data<int32_t>()}; }

  std::vector<std::pair<int64_t, int64_t>> inspected;
  bool decided = false;

 private:
  const bool waits_;
  const Tensor apply_;
};

class NotingOptimizer : public Optimizer {
 public:
  NotingOptimizer(std::unique_ptr<Optimizer> optimizer, const NotingGuard& guard)
      : optimizer_(std::move(optimizer)), guard_(guard) {}
  Status Setup(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces) override {
    return optimizer_->Setup(arena, pieces);
  }
  void BeginStep(int64_t step, float rate, Stream& stream) override { optimizer_->BeginStep(step, rate, stream); }
  void Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) override {
    EXPECT_EQ(guard_.decided, guard_.waits_for_all());
    EXPECT_EQ(control.apply, guard_.control().apply);
    updated.emplace_back(begin, end);
    optimizer_->Update(begin, end, control, stream);
  }
  std::vector<OptimizerState> State() const override { return optimizer_->State(); }

  std::vector<std::pair<int64_t, int64_t>> updated;

 private:
  const std::unique_ptr<Optimizer> optimizer_;
  const NotingGuard& guard_;
};

bool Covers(const std::vector<std::pair<int64_t, int64_t>>& ranges, const Parameter& parameter) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
    return range.first <= parameter.offset && parameter.offset + parameter.shape.size() <= range.second;
  });
}

// Rank 0's values before and after one step.
std::pair<std::vector<float>, std::vector<float>> OneStep(const std::string& key, int world, bool waits, bool apply) {
  std::pair<std::vector<float>, std::vector<float>> values;
  const Status status = RunJob(world, [&](Communicator& communicator, Device& device) -> Status {
    ToyModel model;
    TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 5));
    NotingGuard guard(device, waits, apply);
    TRIREME_ASSIGN_OR_RETURN(auto sgd, MakeComponent<Optimizer>("optimizer/sgd", SgdConfig()));
    NotingOptimizer optimizer(std::move(sgd), guard);
    google::protobuf::Any any;
    any.set_type_url(key);
    TRIREME_ASSIGN_OR_RETURN(const auto strategy,
                             CreateComponent<Strategy>(any, "strategy", {arena.get(), &optimizer, &communicator}));
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    const std::vector<float> before = arena->values().ToVector<float>();
    optimizer.BeginStep(0, 0.1f, device.compute_stream());
    strategy->BeginStep(0);
    for (auto it = arena->parameters().rbegin(); it != arena->parameters().rend(); ++it) {
      const Parameter& parameter = **it;
      const int64_t size = parameter.shape.size();
      if (parameter.options.trainable) {
        WriteGradient(parameter, ToyGradient(0, communicator.rank(), parameter.index, size));
      }
      strategy->OnGradientReady(parameter.index);
    }
    TRIREME_RETURN_IF_ERROR(strategy->Step(guard));
    EXPECT_EQ(guard.decided, waits);
    for (const Parameter* parameter : arena->parameters()) {
      if (!parameter->options.trainable) continue;
      EXPECT_TRUE(Covers(optimizer.updated, *parameter)) << parameter->name;
      EXPECT_EQ(Covers(guard.inspected, *parameter), waits) << parameter->name;
    }
    if (communicator.rank() == 0) values = {before, arena->values().ToVector<float>()};
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return values;
}

TEST(GuardTest, IsAskedBeforeAnythingIsUpdated) {
  for (const auto& [key, world] : std::vector<std::pair<std::string, int>>{{"strategy/single", 1},
                                                                           {"strategy/ring_all_reduce", 1},
                                                                           {"strategy/ring_all_reduce", 3},
                                                                           {"strategy/data_parallel", 2}}) {
    const auto [before, now] = OneStep(key, world, /*waits=*/false, /*apply=*/true);
    EXPECT_NE(now, before) << key;
    const auto [before_waiting, waited] = OneStep(key, world, /*waits=*/true, /*apply=*/true);
    EXPECT_EQ(waited, now) << key << ": the order of updates changes nothing";
    for (bool waits : {false, true}) {
      const auto [same, skipped] = OneStep(key, world, waits, /*apply=*/false);
      EXPECT_EQ(skipped, same) << key;
    }
  }
}

}  // namespace
}  // namespace trireme

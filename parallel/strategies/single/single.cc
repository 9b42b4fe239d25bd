// "strategy/single": one worker, which updates the whole arena.
#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/single/single.pb.h"

namespace trireme {
namespace {

class Single : public Strategy {
 public:
  explicit Single(const BuildArgs& args) : args_(args) {}

  Status Setup() override { return args_.optimizer->Setup(*args_.arena, {WholeArena(*args_.arena)}); }
  void BeginStep(int64_t) override {}
  void OnGradientReady(int) override {}
  Status Step(GradientGuard& guard) override {
    Stream& stream = args_.arena->device().compute_stream();
    const int64_t size = args_.arena->size();
    if (guard.waits_for_all()) {
      guard.Inspect(0, args_.arena->gradients(), stream);
      TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/true, stream));
    }
    args_.optimizer->Update(0, size, guard.control(), stream);
    return absl::OkStatus();
  }
  bool synchronous() const override { return true; }
  double exposed_communication_seconds() const override { return 0; }

 private:
  const BuildArgs args_;
};

StatusOr<std::unique_ptr<Strategy>> MakeSingle(const SingleConfig&, const Strategy::BuildArgs& args) {
  if (args.communicator->size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("it runs one worker, and this job has ", args.communicator->size(),
                     "; say `workers: 1`, or `strategy { [strategy/ring_all_reduce] {} }` "
                     "to divide the work"));
  }
  return std::unique_ptr<Strategy>(std::make_unique<Single>(args));
}

TRIREME_REGISTER_COMPONENT("strategy/single", Strategy, SingleConfig, MakeSingle);

}  // namespace
}  // namespace trireme

// Components that break their contracts, each in the way that its config says, and else do what another one does.
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/api/backbone.h"
#include "core/api/dataset.h"
#include "core/api/detector.h"
#include "core/api/optimizer.h"
#include "core/api/schedule.h"
#include "core/api/strategy.h"
#include "core/api/transform.h"
#include "core/base/registry.h"
#include "core/ops/pointwise.h"
#include "tests/plugins/broken.pb.h"

namespace trireme::testing {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

[[noreturn]] void Throw() { throw std::runtime_error("something of its own"); }

class BrokenDataset : public Dataset {
 public:
  BrokenDataset(const BrokenConfig& config, std::unique_ptr<Dataset> of)
      : fault_(config.fault()), of_(std::move(of)), names_(of_->class_names()) {
    if (fault_ == "class twice") names_[1] = names_[0];
  }
  int64_t size() const override { return fault_ == "negative size" ? -3 : of_->size(); }
  const std::vector<std::string>& class_names() const override { return names_; }
  std::vector<int64_t> category_ids() const override {
    return fault_ == "no category ids" ? std::vector<int64_t>() : of_->category_ids();
  }
  int max_objects() const override {
    return fault_ == "too much memory" ? std::numeric_limits<int>::max() : of_->max_objects();
  }
  Status Get(int64_t index, Sample* sample) const override {
    if (fault_ == "throws") Throw();
    if (fault_ == "no image") return absl::OkStatus();
    TRIREME_RETURN_IF_ERROR(of_->Get(index, sample));
    if (fault_ == "cut image") {
      Image image = *sample->source;
      image.data.resize(10);
      sample->SetImage(std::move(image));
    }
    if (fault_ == "no plan") sample->plan = AugmentationPlan();
    if (fault_ == "same ids") sample->id = 3;
    for (Object& object : sample->objects) {
      if (fault_ == "label") object.label = 99;
    }
    return absl::OkStatus();
  }

 private:
  const std::string fault_;
  const std::unique_ptr<Dataset> of_;
  std::vector<std::string> names_;
};

class BrokenTransform : public Transform {
 public:
  explicit BrokenTransform(const BrokenConfig& config) : fault_(config.fault()) {}
  void Apply(Sample* sample, Random*) const override {
    if (fault_ == "throws") Throw();
    if (fault_ == "no image") sample->source = nullptr;
    if (fault_ == "empty image") sample->SetImage(Image());
    if (fault_ == "label") {
      for (Object& object : sample->objects) object.label = -7;
    }
  }

 private:
  const std::string fault_;
};

class BrokenOptimizer : public Optimizer {
 public:
  BrokenOptimizer(const BrokenConfig& config, std::unique_ptr<Optimizer> of)
      : fault_(config.fault()), of_(std::move(of)) {}
  Status Setup(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces) override {
    if (fault_ == "throws at start") Throw();
    return of_->Setup(arena, pieces);
  }
  void BeginStep(int64_t step, float rate, Stream& stream) override { of_->BeginStep(step, rate, stream); }
  void Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) override {
    if (fault_ == "throws") Throw();
    of_->Update(begin, end, control, stream);
  }
  std::vector<OptimizerState> State() const override { return of_->State(); }

 private:
  const std::string fault_;
  const std::unique_ptr<Optimizer> of_;
};

class BrokenSchedule : public Schedule {
 public:
  explicit BrokenSchedule(const BrokenConfig& config) : fault_(config.fault()) {}
  float LearningRate(int64_t step) const override {
    if (fault_ == "throws") Throw();
    return step < 2 ? 1e-3f : fault_ == "negative" ? -1e-3f : kNaN;
  }

 private:
  const std::string fault_;
};

class BrokenStrategy : public Strategy {
 public:
  BrokenStrategy(const BrokenConfig& config, const BuildArgs& args) : fault_(config.fault()), args_(args) {}
  Status Setup() override {
    if (fault_ == "no setup") return absl::OkStatus();
    return args_.optimizer->Setup(*args_.arena, {WholeArena(*args_.arena)});
  }
  void BeginStep(int64_t) override {}
  void OnGradientReady(int) override {
    if (fault_ == "throws") Throw();
  }
  Status Step(GradientGuard& guard) override {
    Stream& stream = args_.arena->device().compute_stream();
    if (fault_ != "never reduces") {
      TRIREME_RETURN_IF_ERROR(args_.communicator->AllReduce(args_.arena->gradients(), ReduceOperation::kSum, stream));
    }
    args_.optimizer->Update(0, args_.arena->size(), guard.control(), stream);
    return absl::OkStatus();
  }
  bool synchronous() const override { return true; }
  double exposed_communication_seconds() const override { return 0; }

 private:
  const std::string fault_;
  const BuildArgs args_;
};

class BrokenBackbone : public Backbone {
 public:
  BrokenBackbone(const BrokenConfig& config, std::unique_ptr<Backbone> of)
      : fault_(config.fault()), of_(AdoptModule("of", std::move(of))) {
    if (fault_ == "no initializer") AddParameter("more", {3}, nullptr);
    if (fault_ == "forgets parameters") {
      for (const char* name : {"a", "b", "c", "d", "e", "f", "g"}) AddParameter(name, {3}, init::Constant(1));
    }
  }
  std::vector<FeatureSpec> specs() const override {
    std::vector<FeatureSpec> specs = of_.specs();
    if (fault_ == "channels") specs[0].channels += 8;
    return specs;
  }
  std::vector<Var> Forward(Context& context, const Var& images) override {
    if (fault_ == "throws") Throw();
    std::vector<Var> maps = of_.Forward(context, images);
    if (fault_ == "undefined map") maps[0] = Var();
    if (fault_ == "too few maps") maps.pop_back();
    return maps;
  }

 private:
  const std::string fault_;
  Backbone& of_;
};

class BrokenModel : public Detector {
 public:
  BrokenModel(const BrokenConfig& config, std::unique_ptr<Detector> of)
      : fault_(config.fault()), owned_(std::move(of)) {
    of_ = owned_.get();
    if (fault_ != "no parameters") of_ = &AdoptModule("of", std::move(owned_));
  }
  ImageSpec image_spec() const override { return of_->image_spec(); }
  StatusOr<NamedLosses> Loss(Context& context, const Batch& batch) override {
    if (fault_ == "throws") Throw();
    auto losses = of_->Loss(context, batch);
    if (!losses.ok()) return losses;
    if (fault_ == "undefined loss") (*losses)[0].second = Var();
    if (fault_ == "loss of integers")
      losses->emplace_back("more", Var(Tensor::Zeros(context.device, {1}, DataType::kInt32)));
    if (fault_ == "loss of many numbers") losses->emplace_back("more", Var(Tensor::Zeros(context.device, {2, 3})));
    return losses;
  }
  StatusOr<std::vector<Detections>> Detect(Context& context, const Tensor& images, const Tensor& sizes) override {
    if (fault_ == "throws in detection") Throw();
    auto found = of_->Detect(context, images, sizes);
    if (!found.ok()) return found;
    if (fault_ == "too few images") found->pop_back();
    Detection wrong;
    wrong.box = {1, 1, 9, 9};
    if (fault_ == "detected label") wrong.label = 99;
    if (fault_ == "score") wrong.score = kNaN;
    if (fault_ == "box") wrong.box.x1 = kNaN;
    if (!found->empty()) found->back().push_back(wrong);
    return found;
  }

 private:
  const std::string fault_;
  std::unique_ptr<Detector> owned_;
  Detector* of_ = nullptr;
};

// What all factories can do wrong.
bool ReturnsNull(const BrokenConfig& config) {
  if (config.fault() == "factory throws") Throw();
  return config.fault() == "null";
}

template <class Contract, class Broken>
StatusOr<std::unique_ptr<Contract>> MakeAround(const BrokenConfig& config, const typename Contract::BuildArgs& args) {
  if (ReturnsNull(config)) return nullptr;
  auto of = CreateComponent<Contract>(config.of(), "of", args);
  if (!of.ok()) return of.status();
  return std::make_unique<Broken>(config, *std::move(of));
}

template <class Contract, class Broken>
StatusOr<std::unique_ptr<Contract>> Make(const BrokenConfig& config, const typename Contract::BuildArgs&) {
  if (ReturnsNull(config)) return nullptr;
  return std::make_unique<Broken>(config);
}

StatusOr<std::unique_ptr<Strategy>> MakeStrategy(const BrokenConfig& config, const Strategy::BuildArgs& args) {
  if (ReturnsNull(config)) return nullptr;
  return std::make_unique<BrokenStrategy>(config, args);
}

constexpr auto MakeDataset = MakeAround<Dataset, BrokenDataset>;
constexpr auto MakeTransform = Make<Transform, BrokenTransform>;
constexpr auto MakeOptimizer = MakeAround<Optimizer, BrokenOptimizer>;
constexpr auto MakeSchedule = Make<Schedule, BrokenSchedule>;
constexpr auto MakeBackbone = MakeAround<Backbone, BrokenBackbone>;
constexpr auto MakeModel = MakeAround<Detector, BrokenModel>;

TRIREME_REGISTER_COMPONENT("dataset/broken", Dataset, BrokenConfig, MakeDataset);
TRIREME_REGISTER_COMPONENT("transform/broken", Transform, BrokenConfig, MakeTransform);
TRIREME_REGISTER_COMPONENT("optimizer/broken", Optimizer, BrokenConfig, MakeOptimizer);
TRIREME_REGISTER_COMPONENT("schedule/broken", Schedule, BrokenConfig, MakeSchedule);
TRIREME_REGISTER_COMPONENT("strategy/broken", Strategy, BrokenConfig, MakeStrategy);
TRIREME_REGISTER_COMPONENT("backbone/broken", Backbone, BrokenConfig, MakeBackbone);
TRIREME_REGISTER_COMPONENT("model/broken", Detector, BrokenConfig, MakeModel);

}  // namespace
}  // namespace trireme::testing

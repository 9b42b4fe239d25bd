#include "tests/golden/detector_golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/api/detector.h"
#include "core/autograd/tape.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/nn/parameter_arena.h"
#include "core/train/weights.h"
#include "tests/golden/golden.h"
#include "tools/conversion/darknet.h"
#include "tools/conversion/torchvision.h"
#include "tools/conversion/torchvision_names.h"

namespace trireme {
namespace {

constexpr double kMostApart = 1e-4;

// Keeps the worst, to be printed.
class Distances {
 public:
  void Add(const std::string& kind, const std::string& name, double distance, double most = kMostApart) {
    EXPECT_LE(distance, most) << kind << " " << name;
    std::pair<double, std::string>& worst = worst_[kind];
    if (!(distance <= worst.first)) worst = {distance, name};
  }
  void Print(const std::string& golden) const {
    for (const auto& [kind, worst] : worst_) {
      std::printf("%s: %s off by %.1e at most (%s)\n", golden.c_str(), kind.c_str(), worst.first, worst.second.c_str());
    }
  }

 private:
  std::map<std::string, std::pair<double, std::string>> worst_;
};

// Compares the output of every layer that the golden has. A layer is known by its weight.
class OutputComparison : public FunctionObserver {
 public:
  OutputComparison(const Golden& golden, const ParameterArena& arena, Distances* distances)
      : golden_(golden), arena_(arena), distances_(distances) {
    for (const std::string& name : golden.NamesUnder("output/")) missing_.insert("output/" + name);
  }

  void OnOutput(const char*, const std::vector<Var>& inputs, const Tensor& output) override {
    for (const Var& input : inputs) {
      if (input.parameter_index() < 0) continue;
      const std::string& parameter = arena_.parameters()[static_cast<size_t>(input.parameter_index())]->name;
      if (!absl::EndsWith(parameter, ".weight")) continue;
      const std::string module = parameter.substr(0, parameter.size() - std::strlen(".weight"));
      if (golden_.Has(absl::StrCat("output/", module, "/0"))) {
        Compare(absl::StrCat("output/", module, "/", calls_[module]++), output);
      }
    }
  }
  void OnOutputGradient(const char*, const std::vector<int>&, const Tensor&) override {}
  void OnParameterGradient(const char*, int, const Tensor&) override {}

  const std::set<std::string>& missing() const { return missing_; }

 private:
  void Compare(const std::string& name, const Tensor& output) {
    const std::vector<float>& digest = golden_.Values(name);
    std::vector<float> values = output.ToVector<float>();
    if (output.shape().rank() == 2 && static_cast<int64_t>(values.size()) > SizeOfDigest(digest)) {
      RemovePadding(output.dim(1), &values);
    }
    ASSERT_EQ(static_cast<int64_t>(values.size()), SizeOfDigest(digest)) << name;
    distances_->Add("outputs", name, DistanceFrom(digest, name, values));
    missing_.erase(name);
  }
  // Proposals that are padding all give the same row, and the last is one of them.
  static void RemovePadding(int64_t columns, std::vector<float>* values) {
    const auto bytes = static_cast<size_t>(columns) * sizeof(float);
    const std::vector<float> padding(values->end() - columns, values->end());
    std::vector<float> rest;
    for (auto row = values->begin(); row != values->end(); row += columns) {
      if (std::memcmp(&*row, padding.data(), bytes) != 0) rest.insert(rest.end(), row, row + columns);
    }
    *values = std::move(rest);
  }

  const Golden& golden_;
  const ParameterArena& arena_;
  Distances* const distances_;
  std::map<std::string, int> calls_;
  std::set<std::string> missing_;
};

void CompareGradients(const Golden& golden, const ParameterArena& arena, const std::string& kind,
                      Distances* distances) {
  const std::vector<float> all = arena.gradients().ToVector<float>();
  SafetensorsContent gradients;
  for (const Parameter* parameter : arena.parameters()) {
    if (!parameter->options.trainable) continue;
    const auto begin = all.begin() + parameter->offset;
    gradients.arrays.push_back(
        {parameter->name, parameter->shape, std::vector<float>(begin, begin + parameter->shape.size())});
  }
  const SafetensorsContent theirs = ToTorchvision(gradients);
  const double least = golden.Has("least_gradient") ? golden.Values("least_gradient")[0] : 0;
  EXPECT_EQ(theirs.arrays.size(), golden.NamesUnder("gradient/").size());
  for (const NamedArray& array : theirs.arrays) {
    const std::string name = "gradient/" + array.name;
    ASSERT_TRUE(golden.Has(name)) << name;
    ASSERT_EQ(static_cast<int64_t>(array.values.size()), SizeOfDigest(golden.Values(name))) << name;
    // Where rounding chooses, in a max-pool, the reference's own float32 is off as well.
    double most = kMostApart;
    if (golden.Has("rounding/" + name)) most = std::max<double>(most, 4 * golden.Values("rounding/" + name)[0]);
    distances->Add(kind, name, DistanceFrom(golden.Values(name), name, array.values, least), most);
  }
}

// Two detections, and how far apart they are where they might be the same: labels, scores, corners.
double Apart(const Detection& found, const float* wanted, float longer_side) {
  if (found.label != static_cast<int>(wanted[5])) return INFINITY;
  const float corners[4] = {found.box.x1, found.box.y1, found.box.x2, found.box.y2};
  double apart = std::abs(found.score - wanted[4]) / wanted[4];
  for (int k = 0; k < 4; ++k) apart = std::max<double>(apart, std::abs(corners[k] - wanted[k]) / longer_side);
  return apart;
}

// Each of torchvision's has one of ours. Their order is by score, where rounding decides between equals.
void CompareDetections(const Golden& golden, const std::vector<Detections>& found, Distances* distances) {
  const std::vector<float>& images = golden.Values("images");
  const float longer_side = std::max(images[1], images[2]);
  for (size_t n = 0; n < found.size(); ++n) {
    const std::vector<float>& wanted = golden.Values(absl::StrCat("detections/", n));
    constexpr size_t kColumns = 6;
    ASSERT_EQ(found[n].size(), wanted.size() / kColumns) << "image " << n;
    ASSERT_GT(found[n].size(), 0u);
    Detections left = found[n];
    for (size_t i = 0; i < wanted.size() / kColumns; ++i) {
      const float* const one = &wanted[i * kColumns];
      const auto nearest = std::min_element(left.begin(), left.end(), [&](const Detection& a, const Detection& b) {
        return Apart(a, one, longer_side) < Apart(b, one, longer_side);
      });
      distances->Add("detections", absl::StrCat("image ", n, ", number ", i), Apart(*nearest, one, longer_side));
      left.erase(nearest);
    }
  }
}

// One pass forward and one backward. `observer` may be null; `how` tells the passes apart where distances are printed.
void CompareLossesAndGradients(const DetectorGolden& wanted, const Golden& golden, Detector& detector,
                               const ParameterArena& arena, const Batch& batch, FunctionObserver* observer,
                               const std::string& how, Distances* distances) {
  Tape tape(arena.Vars(), nullptr);
  tape.set_observer(observer);
  Context context(arena.device());
  context.tape = &tape;
  context.training = true;
  auto losses = detector.Loss(context, batch);
  ASSERT_TRUE(losses.ok()) << losses.status();
  EXPECT_EQ(losses->size(), golden.NamesUnder("loss/").size());
  std::vector<Var> scalars;
  for (const auto& [name, loss] : *losses) {
    const auto renamed = wanted.loss_names.find(name);
    const double theirs = golden.Values("loss/" + (renamed == wanted.loss_names.end() ? name : renamed->second))[0];
    distances->Add("losses" + how, name, std::abs(loss.value().ToVector<float>()[0] - theirs) / theirs);
    scalars.push_back(loss);
  }
  losses = NamedLosses();
  tape.Backward(scalars, context.stream());
  CompareGradients(golden, arena, "gradients" + how, distances);
}

// A convolution and its norm run one after the other where somebody looks at each function, else as one where they can
// (core/ops/conv_norm.h). Training is the second, so both are compared.
void CompareTraining(const DetectorGolden& wanted, const Golden& golden, Detector& detector,
                     const ParameterArena& arena, const Batch& batch, Distances* distances) {
  OutputComparison outputs(golden, arena, distances);
  CompareLossesAndGradients(wanted, golden, detector, arena, batch, &outputs, "", distances);
  EXPECT_TRUE(outputs.missing().empty()) << "nothing was seen of " << *outputs.missing().begin();
  CompareLossesAndGradients(wanted, golden, detector, arena, batch, nullptr, " as trained", distances);
}

}  // namespace

void ExpectAgrees(const DetectorGolden& wanted) {
  const Golden golden(wanted.name);
  Config config;
  ASSERT_EQ(ParseTextFile("tools/configs/" + wanted.config, &config), absl::OkStatus());
  for (const std::string& setting : wanted.settings) ASSERT_EQ(ApplyOverride(setting, &config), absl::OkStatus());
  const auto device = *MakeDevice("cpu", 2);
  device->BindToThisThread();
  const auto detector = CreateComponent<Detector>(config.model(), "model", {});
  ASSERT_TRUE(detector.ok()) << detector.status();
  const auto arena = *ParameterArena::Build(detector->get(), *device, 1, 1);
  const SafetensorsContent model = WeightsOf(*arena);
  EXPECT_EQ(CheckIsOfTorchvision(model).ok(), !golden.is_of_darknet()) << CheckIsOfTorchvision(model);
  EXPECT_EQ(ToDarknet(model).ok(), golden.is_of_darknet());
  const auto weights = golden.is_of_darknet() ? FromDarknet(golden.DarknetWeights(), "Darknet's file", model)
                                              : FromTorchvision(golden.Weights(), "torchvision's file", model);
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_EQ(SetWeights(*weights, "the reference's file", arena.get()), absl::OkStatus());
  const Batch batch = golden.MakeBatch(*device);
  Distances distances;
  // Training changes running statistics.
  if (golden.Has("detections/0")) {
    Context context(*device);
    const auto detections = (*detector)->Detect(context, batch.images);
    ASSERT_TRUE(detections.ok()) << detections.status();
    CompareDetections(golden, *detections, &distances);
  }
  if (!golden.NamesUnder("gradient/").empty()) {
    CompareTraining(wanted, golden, **detector, *arena, batch, &distances);
  }
  distances.Print(wanted.name);
}

}  // namespace trireme

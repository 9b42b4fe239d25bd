// What cuDNN answers without a GPU: given a GPU's properties as it would write them itself, it accepts operation
// graphs, proposes engines, and makes execution plans.
#include "core/ops/cuda/conv_plans.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "core/device/device.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme::ops::cuda {
namespace {

std::string PropertiesJson(const std::string& name, int compute_capability, int processors, int shared_memory,
                           int l2_cache) {
  return absl::StrCat(
      R"({"cudaDeviceId": 0, "deviceName": ")", name, R"(", "deviceVer": )", compute_capability,
      R"(, "driverVer": 13000, "isTccDriver": 0, "l2CacheSize": )", l2_cache,
      R"(, "maxCtasPerSM": 32, "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152,
          "maxSharedMemoryPerBlockOptin": )",
      shared_memory,
      R"(, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "memClockRateKHz": 2619000, "multiProcessorCount": )",
      processors,
      R"(, "pciDeviceId": 0, "regsPerBlock": 65536, "reservedSharedMemoryPerBlock": 1024, "smClockRateKHz": 1980000,
          "supportCoopLaunch": 1, "totalGlobalMem": 85017493504, "warpSize": 32, "maxBlockSize": [1024, 1024, 64],
          "maxGridSize": [2147483647, 65535, 65535]})");
}

// NVIDIA's published figures.
Descriptor H100() {
  return DevicePropertiesFromJson(PropertiesJson("NVIDIA H100 80GB HBM3", 900, 132, 232448, 52428800)).value();
}
Descriptor A100() {
  return DevicePropertiesFromJson(PropertiesJson("NVIDIA A100-SXM4-80GB", 800, 108, 166912, 41943040)).value();
}

ConvShape Shape4(int64_t batch, int64_t height, int64_t width, int64_t in, int64_t out, int64_t kernel, int64_t stride,
                 int64_t padding, int64_t dilation = 1, int64_t groups = 1) {
  const auto extent = [&](int64_t size) { return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1; };
  return {batch,  height, width,  in,      extent(height), extent(width), out,
          kernel, kernel, stride, padding, dilation,       groups};
}

struct Layer {
  const char* name;
  ConvShape shape;
};

std::ostream& operator<<(std::ostream& out, const Layer& layer) { return out << layer.name; }

const Layer kLayers[] = {
    // SSD300 with VGG16 at a batch of 32.
    {"Vgg1_1", Shape4(32, 300, 300, 3, 64, 3, 1, 1)},
    {"Vgg1_2", Shape4(32, 300, 300, 64, 64, 3, 1, 1)},
    {"Vgg2_1", Shape4(32, 150, 150, 64, 128, 3, 1, 1)},
    {"Vgg3_1", Shape4(32, 75, 75, 128, 256, 3, 1, 1)},
    {"Vgg4_3", Shape4(32, 38, 38, 512, 512, 3, 1, 1)},
    {"Vgg5_3", Shape4(32, 19, 19, 512, 512, 3, 1, 1)},
    {"Fc6", Shape4(32, 19, 19, 512, 1024, 3, 1, 6, 6)},
    {"Fc7", Shape4(32, 19, 19, 1024, 1024, 1, 1, 0)},
    {"Conv8_2", Shape4(32, 19, 19, 256, 512, 3, 2, 1)},
    {"Conv10_2", Shape4(32, 5, 5, 128, 256, 3, 1, 0)},
    {"Conv11_2", Shape4(32, 3, 3, 128, 256, 3, 1, 0)},
    {"BoxHead4", Shape4(32, 38, 38, 512, 16, 3, 1, 1)},
    {"ClassHead4", Shape4(32, 38, 38, 512, 84, 3, 1, 1)},
    {"ClassHead7", Shape4(32, 19, 19, 1024, 126, 3, 1, 1)},
    {"ClassHead11", Shape4(32, 1, 1, 256, 84, 3, 1, 1)},
    // ResNet-50's.
    {"Resnet1", Shape4(16, 300, 300, 3, 64, 7, 2, 3)},
    {"Resnet2Reduce", Shape4(16, 75, 75, 256, 64, 1, 1, 0)},
    {"Resnet3Middle", Shape4(16, 75, 75, 128, 128, 3, 2, 1)},
    {"Resnet3Shortcut", Shape4(16, 75, 75, 256, 512, 1, 2, 0)},
    {"Resnet4Expand", Shape4(16, 38, 38, 256, 1024, 1, 1, 0)},
    // What tests and small models have.
    {"Tiny", Shape4(1, 1, 1, 1, 1, 1, 1, 0)},
    {"Odd", Shape4(3, 10, 6, 5, 13, 3, 1, 0)},
    {"OddStrided", Shape4(2, 9, 7, 3, 12, 3, 2, 1)},
    {"DilatedAndStrided", Shape4(2, 11, 9, 16, 20, 3, 2, 2, 2)},
    {"Grouped", Shape4(2, 6, 6, 8, 12, 3, 1, 1, 1, 4)},
    {"Depthwise", Shape4(2, 9, 8, 20, 20, 3, 1, 1, 1, 20)},
    {"DepthwiseStrided", Shape4(8, 75, 75, 96, 96, 3, 2, 1, 1, 96)},
    {"LeavesOutTheLastRow", Shape4(2, 8, 8, 6, 7, 3, 3, 0)},
};

constexpr int kModelLayers = 20;  // SSD300's and ResNet's

struct Arithmetic {
  const char* name;
  DataType type;
  bool tf32;
};

std::ostream& operator<<(std::ostream& out, const Arithmetic& arithmetic) { return out << arithmetic.name; }

const Arithmetic kArithmetics[] = {{"Float32", DataType::kFloat32, false},
                                   {"Tf32", DataType::kFloat32, true},
                                   {"Bfloat16", DataType::kBfloat16, false},
                                   {"Float16", DataType::kFloat16, false}};

// What is chosen where nobody measures.
StatusOr<EngineChoice> Choose(const ConvProblem& problem, const Descriptor& device) {
  TRIREME_ASSIGN_OR_RETURN(const std::vector<EngineChoice> choices, ProposeEngines(problem, 1, device));
  EXPECT_EQ(choices.size(), 1u);
  return choices.front();
}

std::vector<ConvProblem> ProblemsOf(const ConvShape& shape, const Arithmetic& arithmetic) {
  std::vector<ConvProblem> problems;
  const auto add = [&](ConvPass pass, bool bias, bool relu) {
    problems.push_back({shape, pass, arithmetic.type, bias, relu, arithmetic.tf32});
  };
  for (const bool bias : {false, true}) {
    for (const bool relu : {false, true}) add(ConvPass::kForward, bias, relu);
  }
  add(ConvPass::kBackwardData, false, false);
  add(ConvPass::kBackwardWeights, false, false);
  return problems;
}

bool Has(const ConvPlan& plan, cudnnBackendNumericalNote_t note) {
  return std::find(plan.notes().begin(), plan.notes().end(), note) != plan.notes().end();
}

class ConvPlansOf : public ::testing::TestWithParam<std::tuple<Layer, Arithmetic>> {};

TEST_P(ConvPlansOf, HaveAnEngineForEveryPass) {
  const Arithmetic& arithmetic = std::get<1>(GetParam());
  const Descriptor device = H100();
  for (const ConvProblem& problem : ProblemsOf(std::get<0>(GetParam()).shape, arithmetic)) {
    SCOPED_TRACE(Describe(problem));
    const StatusOr<EngineChoice> choice = Choose(problem, device);
    ASSERT_TRUE(choice.ok()) << choice.status();
    const StatusOr<std::unique_ptr<ConvPlan>> plan = ConvPlan::Make(problem, *choice, device, nullptr);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_LE((*plan)->workspace_bytes(), int64_t{512} << 20);
    EXPECT_FALSE(Has(**plan, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
    EXPECT_FALSE(Has(**plan, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION));
    EXPECT_FALSE(Has(**plan, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
    if (arithmetic.type == DataType::kFloat32 && !arithmetic.tf32) {
      EXPECT_FALSE(Has(**plan, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(H100, ConvPlansOf,
                         ::testing::Combine(::testing::ValuesIn(kLayers), ::testing::ValuesIn(kArithmetics)),
                         [](const ::testing::TestParamInfo<std::tuple<Layer, Arithmetic>>& info) {
                           return std::string(std::get<0>(info.param).name) + std::get<1>(info.param).name;
                         });

// What training's speed rests on: the layers of real models in one kernel each, on tensor cores.
TEST(ConvPlan, SsdAndResnetRun16BitsFusedOnTensorCores) {
  for (const Descriptor& device : {H100(), A100()}) {
    for (const Layer& layer : kLayers) {
      if (&layer >= kLayers + kModelLayers) continue;
      for (const DataType type : {DataType::kBfloat16, DataType::kFloat16}) {
        for (const ConvPass pass : {ConvPass::kForward, ConvPass::kBackwardData, ConvPass::kBackwardWeights}) {
          const bool tail = pass == ConvPass::kForward;
          const ConvProblem problem = {layer.shape, pass, type, tail, tail, false};
          const StatusOr<EngineChoice> choice = Choose(problem, device);
          ASSERT_TRUE(choice.ok()) << choice.status();
          EXPECT_TRUE(choice->fused) << Describe(problem);
          EXPECT_TRUE(Has(*ConvPlan::Make(problem, *choice, device, nullptr).value(), CUDNN_NUMERICAL_NOTE_TENSOR_CORE))
              << Describe(problem);
        }
      }
    }
  }
}

TEST(ConvPlan, TheChoiceFollowsFromTheProblem) {
  const ConvProblem problem = {kLayers[3].shape, ConvPass::kForward, DataType::kBfloat16, true, true};
  const EngineChoice choice = Choose(problem, H100()).value();
  for (int repeat = 0; repeat < 3; ++repeat) EXPECT_EQ(Choose(problem, H100()).value(), choice);
}

TEST(ConvPlan, AnImpossibleProblemIsAStatusThatNamesIt) {
  ConvProblem problem = {kLayers[3].shape, ConvPass::kForward, DataType::kFloat32};
  problem.shape.out_height += 1;  // no such output
  const StatusOr<EngineChoice> choice = Choose(problem, H100());
  ASSERT_FALSE(choice.ok());
  EXPECT_EQ(choice.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(choice.status().message().find(Describe(problem)), std::string::npos) << choice.status();
}

TEST(ConvPlan, PropertiesThatAreNoneAreAStatus) {
  EXPECT_FALSE(DevicePropertiesFromJson("{").ok());
  EXPECT_FALSE(DevicePropertiesFromJson("").ok());
}

ConvProblem SomeProblem() {
  return {Shape4(2, 20, 20, 32, 64, 3, 1, 1), ConvPass::kForward, DataType::kBfloat16, true};
}

std::string SomeKey() { return absl::StrCat("H100, cuDNN ", cudnnGetVersion(), ", ", Describe(SomeProblem())); }

TEST(ConvPlans, AreMadeOnceAndRememberedInTheFile) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "engines.json";
  EngineChoice choice;
  {
    ConvPlans plans(H100(), nullptr, "H100", EngineCache::OfFile(path));
    const ConvPlan& plan = plans.Find(SomeProblem(), nullptr);
    EXPECT_EQ(&plans.Find(SomeProblem(), nullptr), &plan);
    choice = EngineCache::OfFile(path)->Find(SomeKey()).value();
    EXPECT_EQ(choice, Choose(SomeProblem(), H100()).value());
  }
  EXPECT_EQ(EngineCache(path).Find(SomeKey()), choice);
}

// Plans carry no name, so this one tells them apart by their order.
TEST(ConvPlans, TheFastestProposalIsChosenAndAClearLead) {
  const ConvProblem problem = {kLayers[3].shape, ConvPass::kForward, DataType::kBfloat16, true, true};
  const std::vector<EngineChoice> proposals = ProposeEngines(problem, 10, H100()).value();
  ASSERT_GT(proposals.size(), 2u);
  ASSERT_LE(proposals.size(), 10u);
  const std::string key = absl::StrCat("H100, cuDNN ", cudnnGetVersion(), ", measured, ", Describe(problem));
  const double never = std::numeric_limits<double>::infinity();
  const struct {
    std::vector<double> seconds;  // the rest take 2
    size_t chosen;
  } cases[] = {{{1.0, 2.0, 0.5}, 2},
               {{1.0, 0.99}, 0},
               {{never, never, 3.0, 3.0}, proposals.size() > 4 ? size_t{4} : size_t{2}},
               {{never, 1.0}, 1},
               {{2.0, 1.0, 0.99}, 1}};
  for (const auto& [seconds, chosen] : cases) {
    auto choices = std::make_shared<EngineCache>("");
    ConvPlans plans(H100(), nullptr, "H100", choices);
    size_t timed = 0;
    const TimePlan time = [&, &seconds = seconds](const ConvPlan&) {
      const size_t i = timed++;
      return i < seconds.size() ? seconds[i] : 2.0;
    };
    const ConvPlan& plan = plans.Find(problem, time);
    EXPECT_EQ(timed, proposals.size());
    EXPECT_EQ(choices->Find(key), proposals[chosen]) << chosen;
    EXPECT_EQ(&plans.Find(problem, time), &plan);
    EXPECT_EQ(timed, proposals.size());
    // Who has measured the same with another outcome computes with what was there first, and who measures nothing with
    // what is proposed.
    ConvPlans late(H100(), nullptr, "H100", choices), unmeasured(H100(), nullptr, "H100", choices);
    late.Find(problem, [](const ConvPlan&) { return 1.0; });
    EXPECT_EQ(choices->Find(key), proposals[chosen]);
    unmeasured.Find(problem, nullptr);
    EXPECT_EQ(choices->Find(absl::StrCat("H100, cuDNN ", cudnnGetVersion(), ", ", Describe(problem))), proposals[0]);
  }
}

// Any proposal of cuDNN's may be in the file, and it is what is run.
TEST(ConvPlans, TakeTheChoiceOfTheFile) {
  ConvProblem plain = SomeProblem();
  plain.bias = false;
  EngineChoice other = Choose(plain, H100()).value();
  other.fused = false;
  auto choices = std::make_shared<EngineCache>("");
  choices->Insert(SomeKey(), other);
  ConvPlans plans(H100(), nullptr, "H100", choices);
  EXPECT_FALSE(plans.Find(SomeProblem(), nullptr).fused());
  EXPECT_EQ(choices->Find(SomeKey()), other);
}

TEST(ConvPlans, ReplaceAChoiceThatNoLongerServes) {
  const EngineChoice good = Choose(SomeProblem(), H100()).value();
  EngineChoice knob_of_another = good, value_of_another = good;
  knob_of_another.knobs[3] = 1 << 20;
  for (auto& [knob, value] : value_of_another.knobs) value = 1 << 20;
  ASSERT_FALSE(good.knobs.empty());
  for (const EngineChoice& stale :
       {EngineChoice{9999, {}, true}, EngineChoice{-1, {}, true}, knob_of_another, value_of_another}) {
    auto choices = std::make_shared<EngineCache>("");
    choices->Insert(SomeKey(), stale);
    ConvPlans plans(H100(), nullptr, "H100", choices);
    plans.Find(SomeProblem(), nullptr);
    EXPECT_EQ(choices->Find(SomeKey()), good);
  }
}

// Two processes of a job, whose measurements differ.
TEST(ConvPlans, WhoMeasuresInsteadOfAStaleChoiceComputesWithWhatTheFirstFound) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "engines.json";
  const std::string key = absl::StrCat("H100, cuDNN ", cudnnGetVersion(), ", measured, ", Describe(SomeProblem()));
  const std::vector<EngineChoice> proposals = ProposeEngines(SomeProblem(), 10, H100()).value();
  ASSERT_GT(proposals.size(), 2u);
  EngineCache(path).Insert(key, {9999, {}, true});
  const auto of_one = std::make_shared<EngineCache>(path), of_other = std::make_shared<EngineCache>(path);
  const auto prefers = [](int fastest) {
    return [timed = 0, fastest](const ConvPlan&) mutable { return timed++ == fastest ? 1.0 : 2.0; };
  };
  ConvPlans one(H100(), nullptr, "H100", of_one), other(H100(), nullptr, "H100", of_other);
  one.Find(SomeProblem(), prefers(1));
  other.Find(SomeProblem(), prefers(2));
  EXPECT_EQ(of_one->Find(key), proposals[1]);
  EXPECT_EQ(of_other->Find(key), proposals[1]);
}

TEST(ConvPlans, ThrowWhereThereIsNoEngine) {
  ConvProblem problem = SomeProblem();
  problem.shape.out_width += 5;
  ConvPlans plans(H100(), nullptr, "H100", std::make_shared<EngineCache>(""));
  EXPECT_THROW(plans.Find(problem, nullptr), DeviceError);
  EXPECT_THROW(plans.Find(problem, nullptr), DeviceError);
}

}  // namespace
}  // namespace trireme::ops::cuda

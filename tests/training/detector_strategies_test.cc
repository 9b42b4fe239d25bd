// Every detector under every synchronous strategy: two workers on half of a batch each come to the weights of one
// worker on all of it.
#include <gtest/gtest.h>

#include <cmath>

#include "core/base/registry.h"
#include "core/train/train_step.h"
#include "models/faster_rcnn/faster_rcnn.h"
#include "models/retinanet/retinanet.h"
#include "models/ssd/ssd.h"
#include "models/yolo/yolo.h"
#include "parallel/communicator/thread/thread_communicator.h"
#include "tests/models/testing/tiny_detectors.h"

namespace trireme {
namespace {

constexpr int64_t kSteps = 4;

struct Kind {
  const char* name;
  std::function<StatusOr<std::unique_ptr<Detector>>()> make;
};

// With a separable head, and norm over the global batch.
SsdConfig TinySsdLite() {
  ResNetSmallConfig backbone = TinyBackbone();
  backbone.mutable_norm()->set_mode(NormConfig::SYNCHRONIZED);
  SsdConfig config = TinySsd(backbone);
  config.set_separable_head(true);
  config.mutable_head_norm()->set_mode(NormConfig::SYNCHRONIZED);
  return config;
}

Kind Kinds[] = {
    {"FasterRcnn", [] { return MakeFasterRcnn(TinyFasterRcnn(), {}); }},
    {"RetinaNet", [] { return MakeRetinaNet(TinyRetinaNet(), {}); }},
    {"Ssd", [] { return MakeSsd(TinySsd(TinyBackbone()), {}); }},
    {"SsdLite", [] { return MakeSsd(TinySsdLite(), {}); }},
    {"Yolo", [] { return MakeYolo(TinyYolo(), {}); }},
    {"AnchorFreeYolo", [] { return MakeYolo(TinyAnchorFreeYolo(), {}); }},
};

template <class Contract>
std::unique_ptr<Contract> Make(const std::string& key, const typename Contract::BuildArgs& args) {
  google::protobuf::Any any;
  any.set_type_url(key);
  return CreateComponent<Contract>(any, Contract::kKind, args).value();
}

// What rank 0 ends with, parameter by parameter.
std::vector<std::pair<std::string, std::vector<float>>> Train(const Kind& kind, const std::string& strategy_key,
                                                              int workers) {
  std::vector<std::pair<std::string, std::vector<float>>> weights;
  const Status status = MakeThreadLauncher(60)->Run(workers, [&](Communicator& communicator) -> Status {
    TRIREME_ASSIGN_OR_RETURN(auto detector, kind.make());
    TestModel model(std::move(detector), *MakeDevice("cpu", 1), 1, Precision::kFloat32, workers);
    const auto optimizer = Make<Optimizer>("optimizer/sgd", {});
    const auto strategy = Make<Strategy>(strategy_key, {&model.arena(), optimizer.get(), &communicator});
    TRIREME_RETURN_IF_ERROR(strategy->Setup());
    StepGuard guard(model.arena(), communicator, {});
    StepResults results(model.device(), communicator);
    TrainStep step(
        {&model.device(), &communicator, &model.detector(), &model.arena(), optimizer.get(), strategy.get(), &guard},
        &results, {});
    const int share = 4 / workers, rank = communicator.rank();
    for (int64_t s = 0; s < kSteps; ++s) {
      const Batch batch = model.MakeBatch({1, 0, 4, 3}, 4, static_cast<uint64_t>(s));
      TRIREME_RETURN_IF_ERROR(
          step.Run(s, 0.01f, {batch.Slice(rank * share, (rank + 1) * share)}, [] { return WorkerNote(); }));
      results.Read();
    }
    TRIREME_RETURN_IF_ERROR(strategy->Settle());
    if (rank > 0) return absl::OkStatus();
    const std::vector<float> values = model.arena().values().ToVector<float>();
    for (const Parameter* parameter : model.arena().parameters()) {
      const auto begin = values.begin() + parameter->offset;
      weights.emplace_back(parameter->name, std::vector<float>(begin, begin + parameter->shape.size()));
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
  return weights;
}

class DetectorStrategies : public ::testing::TestWithParam<std::tuple<Kind, std::string>> {};

TEST_P(DetectorStrategies, TwoWorkersGiveTheWeightsOfOne) {
  const auto& [kind, strategy] = GetParam();
  const auto one = Train(kind, "strategy/single", 1), two = Train(kind, strategy, 2);
  ASSERT_EQ(one.size(), two.size());
  for (size_t p = 0; p < one.size(); ++p) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < one[p].second.size(); ++i) {
      difference += std::pow(one[p].second[i] - two[p].second[i], 2);
      norm += std::pow(one[p].second[i], 2);
    }
    // Biases are small yet: the absolute difference counts.
    EXPECT_LT(std::sqrt(difference), 1e-5 * std::max(std::sqrt(norm), 0.1)) << one[p].first;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DetectorStrategies,
                         ::testing::Combine(::testing::ValuesIn(Kinds),
                                            ::testing::Values("strategy/data_parallel", "strategy/ring_all_reduce",
                                                              "strategy/hierarchical", "strategy/sharded",
                                                              "strategy/parameter_server")),
                         [](const auto& info) {
                           std::string strategy = std::get<1>(info.param);
                           strategy = strategy.substr(strategy.find('/') + 1);
                           return std::string(std::get<0>(info.param).name) + "_" + strategy;
                         });

}  // namespace
}  // namespace trireme

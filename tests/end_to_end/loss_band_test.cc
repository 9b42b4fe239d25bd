// Strategies whose workers go their own ways reach the losses of a synchronous run on generated scenes.
//
// What is compared is alike in all but the strategy: norm takes its statistics of a worker's own images in all of them,
// of as many images, for with fewer the losses are others in any strategy (see docs/results.md). Their order and the
// machine's load make each asynchronous run another one, so that losses are held against a band, not a number: the mean
// of the synchronous runs over several seeds, give or take 5 %.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

constexpr char kConfig[] = R"(
  model {
    [model/ssd] {
      num_classes: 4
      image_size: 64
      backbone {
        [backbone/resnet_small] {
          stem_channels: 16
          stage { channels: 16 blocks: 1 }
          stage { channels: 32 blocks: 1 }
          stage { channels: 48 blocks: 1 }
          norm { mode: PER_WORKER }
          zero_init_residual: false
        }
      }
    }
  }
  train_data {
    [dataset/shapes] {
      num_images: 2048
      width: 64
      height: 64
      seed: 1
      class_names: ["circle", "cross", "star", "triangle"]
      max_objects: 3
    }
  }
  transforms { [transform/flip] {} }
  device: "cpu"
  threads_per_worker: 1
  workers: 2
  global_batch_size: 16
  steps: 150
  optimizer { [optimizer/sgd] { momentum: 0.9 weight_decay: 5e-4 } }
  schedule { [schedule/cosine] { learning_rate: 0.02 warmup_steps: 20 } }
)";

struct Losses {
  double first = 0;  // the mean of the first ten steps
  double last = 0;   // of the last fifty
};

Losses Train(const std::string& strategy, int seed, const std::vector<std::string>& more = {}) {
  const std::string folder = NewFolder("run"), config = folder + "/scenes.pbtxt";
  WriteAll(config, kConfig);
  std::vector<std::string> arguments = {"--config=" + config, "--out=" + folder + "/run", absl::StrCat("--seed=", seed),
                                        "--set", absl::StrCat("strategy={[strategy/", strategy, "}")};
  arguments.insert(arguments.end(), more.begin(), more.end());
  ToolProcess process("train", arguments);
  const ToolResult result = process.Wait(/*seconds=*/600);
  EXPECT_EQ(result.exit_code, 0) << result.output;
  std::vector<double> losses;
  for (const auto& event : ReadEvents(folder + "/run")) {
    if (event["event"] == "step") losses.push_back(event["loss"]);
  }
  EXPECT_EQ(losses.size(), 150u);
  Losses means;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (i < 10) means.first += losses[i] / 10;
    if (i >= 100) means.last += losses[i] / 50;
  }
  return means;
}

TEST(LossBand, WithoutSynchronousStepsTheLossesAreThoseOfASynchronousRun) {
  const std::string synchronous = "data_parallel]{}";
  double mean = 0, least = INFINITY, most = 0;
  for (const int seed : {1, 2, 3}) {
    const Losses losses = Train(synchronous, seed);
    EXPECT_LT(losses.last, losses.first / 2) << "it learns";
    mean += losses.last / 3;
    least = std::min(least, losses.last);
    most = std::max(most, losses.last);
  }
  EXPECT_LT(most - least, 0.02 * mean) << "seeds alone differ by more than a band around them could tell";
  constexpr double kBand = 0.05;
  for (const char* strategy :
       {"parameter_server]{mode:ASYNC}", "parameter_server]{mode:ASYNC placement:OWN_RANKS num_servers:1}",
        "parameter_server]{mode:BOUNDED}", "local_sgd]{}"}) {
    for (const int seed : {1, 2}) {
      const double reached = Train(strategy, seed).last;
      EXPECT_NEAR(reached, mean, kBand * mean) << strategy << ", seed " << seed;
      RecordProperty(absl::StrCat("over_mean_", seed, "_", strategy), absl::StrCat(reached / mean - 1));
    }
  }
  // Or anything that learns would be in the band.
  for (const char* other : {"schedule.learning_rate=0.002", "optimizer.momentum=0"}) {
    EXPECT_GT(std::abs(Train(synchronous, 1, {"--set", other}).last - mean), kBand * mean) << other;
  }
}

}  // namespace
}  // namespace trireme

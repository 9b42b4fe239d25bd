// What every strategy takes as options, through the main command: that they do what they say, and say so.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

struct Trained {
  ToolResult result;
  std::string folder;
  std::vector<nlohmann::json> events;

  std::vector<double> Of(const std::string& key) const {
    std::vector<double> values;
    for (const auto& event : events) {
      if (event["event"] == "step") values.push_back(event.at(key));
    }
    return values;
  }
};

// Trains the tiny config; `settings` as --set takes them.
Trained Train(const std::vector<std::string>& settings, int workers = 1) {
  Trained run;
  run.folder = NewFolder("run");
  std::vector<std::string> arguments = {"--config=" + TinyConfig(), "--out=" + run.folder,
                                        "--workers=" + std::to_string(workers)};
  for (const std::string& setting : settings) {
    arguments.push_back("--set");
    arguments.push_back(setting);
  }
  run.result = RunToolProcess("train", arguments);
  EXPECT_EQ(run.result.exit_code, 0) << run.result.output;
  run.events = ReadEvents(run.folder);
  return run;
}

// At the start, and in the report.
bool Says(const Trained& run, const std::string& words) {
  return run.result.output.find(words) != std::string::npos &&
         ReadAll(run.folder + "/report.html").find(words) != std::string::npos;
}

TEST(LearningRateScaling, FollowsTheGlobalBatchAndSaysSo) {
  const std::vector<double> plain = Train({}).Of("lr");
  const Trained scaled = Train({"reference_global_batch=2", "lr_scaling_warmup_steps=4"});
  EXPECT_TRUE(Says(scaled, "learning rate times 2")) << scaled.result.output;
  EXPECT_TRUE(Says(scaled, "4 images a step are not the reference's 2; it rises to that in 4 steps"));
  const std::vector<double> rates = scaled.Of("lr");
  ASSERT_EQ(rates.size(), plain.size());
  for (size_t i = 0; i < rates.size(); ++i) {
    const double by = i < 4 ? 1 + 0.25 * static_cast<double>(i) : 2;
    EXPECT_NEAR(rates[i], by * plain[i], 1e-8) << i;
  }

  const Trained smaller = Train({"reference_global_batch=16"});
  EXPECT_TRUE(Says(smaller, "learning rate times 0.25"));
  EXPECT_NEAR(smaller.Of("lr").back(), plain.back() / 4, 1e-8);

  const Trained left_alone = Train({"reference_global_batch=2", "lr_scaling=NONE"});
  EXPECT_TRUE(Says(left_alone, "learning rate not scaled"));
  EXPECT_EQ(left_alone.Of("lr"), plain);
  const Trained same = Train({"reference_global_batch=4"});
  EXPECT_FALSE(Says(same, "learning rate"));
  EXPECT_EQ(same.Of("lr"), plain);
}

TEST(Clipping, BoundsTheStepAndReportsTheNorm) {
  const Trained plain = Train({}, 2), wide = Train({"clip_gradient_norm=1e6"}, 2);
  const Trained narrow = Train({"clip_gradient_norm=0.01"}, 2);
  EXPECT_EQ(wide.Of("loss"), plain.Of("loss")) << "gradients under the bound are taken as they are";
  EXPECT_FALSE(plain.events[1].contains("gradient_norm"));
  for (double norm : narrow.Of("gradient_norm")) EXPECT_GT(norm, 0.01);
  EXPECT_EQ(narrow.Of("gradient_norm").front(), wide.Of("gradient_norm").front());
  EXPECT_NE(narrow.Of("loss").back(), plain.Of("loss").back());
  EXPECT_TRUE(ReadAll(narrow.folder + "/report.html").find("Norm of the gradients") != std::string::npos);
}

TEST(Accumulation, SeesTheSameImagesInLessMemory) {
  const std::vector<std::string> settings = {"global_batch_size=64", "steps=2", "evaluation.batch_size=1"};
  const Trained plain = Train(settings, 2);
  std::vector<std::string> with_parts = settings;
  with_parts.push_back("accumulate_steps=16");
  const Trained in_parts = Train(with_parts, 2);
  EXPECT_EQ(in_parts.Of("epoch"), plain.Of("epoch"));
  // The losses are normalised by part, and batch norm takes its statistics of a part.
  EXPECT_NEAR(in_parts.Of("loss")[0], plain.Of("loss")[0], 0.2 * plain.Of("loss")[0]);
  const auto activations = [](const Trained& run) {
    return run.events.back()["peak_bytes"][0]["activations"].get<double>();
  };
  EXPECT_LT(activations(in_parts), 0.6 * activations(plain));
}

// Half of the images have no object, and so have many of the workers' shares.
TEST(UnevenShares, GiveTheLossesOfOneWorker) {
  for (int batch : {3, 4, 8}) {
    const std::vector<std::string> settings = {"global_batch_size=" + std::to_string(batch), "train_data.min_objects=0",
                                               "train_data.max_objects=1", "eval_data.num_images=2"};
    const Trained one = Train(settings), three = Train(settings, 3);
    const std::vector<double> expected = one.Of("loss"), losses = three.Of("loss");
    ASSERT_EQ(losses.size(), expected.size());
    for (size_t i = 0; i < losses.size(); ++i)
      EXPECT_NEAR(losses[i], expected[i], 2e-3 * expected[i]) << batch << ", " << i;
  }
}

// A rate that lets weights grow beyond all bounds with the first step.
TEST(NotFinite, EndsInASentenceWithTheLayerOrIsLeftOutAndListed) {
  const std::string config = TinyConfig();
  const auto train = [&](const std::string& out, std::vector<std::string> more) {
    more.insert(more.end(), {"--config=" + config, "--out=" + out, "--workers=2", "--set",
                             "schedule={[schedule/constant] {learning_rate: 1e30}}"});
    return RunToolProcess("train", more).output;
  };
  const std::string stopped = NewFolder("stopped"), skipped = NewFolder("skipped");
  const std::string sentence = train(stopped, {});
  for (const char* words : {"step 1, rank ", "the loss ", "(images ", "the first values that are not finite are the ",
                            " in backbone.", "the weights are still those of the step before"}) {
    EXPECT_NE(sentence.find(words), std::string::npos) << words << "\n" << sentence;
  }
  const std::string output = train(skipped, {"--set", "not_finite=SKIP", "--set", "not_finite_limit=3"});
  EXPECT_NE(output.find("left out: step 1, rank "), std::string::npos) << output;
  EXPECT_NE(output.find("the last of 4 such steps"), std::string::npos) << output;
  int listed = 0;
  for (const auto& event : ReadEvents(skipped)) listed += event["event"] == "skip" ? 1 : 0;
  EXPECT_EQ(listed, 3);
  EXPECT_NE(ReadAll(skipped + "/report.html").find("Steps that were left out"), std::string::npos);
}

}  // namespace
}  // namespace trireme

// What every strategy takes as options, through the main command: that they do what they say, and say so.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "core/train/checkpoint_folder.h"
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

// The weights at the end.
std::string WeightsOf(const Trained& run) {
  const auto checkpoint = FindCheckpoint(run.folder);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? ReadAll(*checkpoint + "/model.safetensors") : run.folder;
}

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

std::string Strategy(const std::string& text) { return "strategy={[strategy/" + text + "}"; }

constexpr char kFp16[] = "precision=FP16", kScale[] = "loss_scale.initial=4294967296", kSkip[] = "not_finite=SKIP";
constexpr char kParts[] = "accumulate_steps=2", kBatch[] = "global_batch_size=8", kClip[] = "clip_gradient_norm=0.01";

class OptionsOverProcesses : public testing::TestWithParam<std::vector<std::string>> {};

// Two workers' sums are the same bits in whatever order.
TEST_P(OptionsOverProcesses, GiveTheBitsOfThreads) {
  std::vector<std::string> settings = GetParam();
  const Trained threads = Train(settings, 2);
  settings.push_back("communicator={[communicator/gloo]{}}");
  const Trained processes = Train(settings, 2);
  EXPECT_EQ(processes.Of("loss"), threads.Of("loss"));
  EXPECT_TRUE(WeightsOf(processes) == WeightsOf(threads));
  if (std::count(settings.begin(), settings.end(), kFp16) == 0) return;
  // Gradients overflow at first.
  const std::vector<double> scales = processes.Of("loss_scale");
  EXPECT_LT(scales.back(), scales.front());
  EXPECT_EQ(scales, threads.Of("loss_scale"));
}

using Settings = std::vector<std::string>;
INSTANTIATE_TEST_SUITE_P(
    Settings, OptionsOverProcesses,
    testing::Values(Settings{Strategy("ring_all_reduce]{buckets{compression:BF16}}")},
                    Settings{Strategy("data_parallel]{buckets{compression:FP16}}"), kClip, kSkip},
                    Settings{Strategy("sharded]{stage:2 buckets{compression:BF16 size_mb:0.1}}"), kParts, kBatch},
                    Settings{Strategy("hierarchical]{buckets{compression:FP16}}"), kFp16, kScale},
                    Settings{Strategy("sharded]{}"), kFp16, kScale, kClip, kParts, kBatch},
                    Settings{Strategy("data_parallel]{reduction:GATHER_TO_ONE}"), kSkip, kFp16, kScale, kParts, kBatch},
                    Settings{Strategy("parameter_server]{}"), kFp16, kScale, kClip, kSkip, kParts, kBatch},
                    Settings{Strategy("data_parallel]{reduction:GATHER_TO_ONE buckets{compression:BF16}}"), kClip},
                    Settings{Strategy("parameter_server]{buckets{compression:BF16}}"), kSkip},
                    Settings{Strategy("parameter_server]{num_servers:1 placement:OWN_RANKS buckets{compression:FP16}}"),
                             kFp16, kScale, kClip, kSkip, kParts, kBatch}));

TEST(OverProcesses, ShardedGradientsAddUpOverTheBatchsParts) {
  const std::vector<std::string> settings = {"accumulate_steps=4", "global_batch_size=16", "not_finite=SKIP",
                                             "communicator={[communicator/gloo]{}}"};
  std::vector<std::string> first = settings, second = settings;
  first.push_back(Strategy("sharded]{buckets{size_mb:0.1}}"));
  second.push_back(Strategy("sharded]{stage:2 buckets{size_mb:0.1}}"));
  EXPECT_TRUE(WeightsOf(Train(first, 3)) == WeightsOf(Train(second, 3)));
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

// The lock ends with the process that holds it, however that ends.
TEST(RunFolder, IsOneJobsAtATime) {
  const std::string config = TinyConfig(), run = NewFolder("run");
  const std::vector<std::string> arguments = {"--config=" + config, "--out=" + run, "--steps=100000", "--set",
                                              "checkpoint.every_steps=5"};
  const auto steps = [&] {
    const auto events = ReadEvents(run);
    return events.empty() ? 0 : events.back().value("step", 0);
  };
  ToolProcess first("train", arguments);
  ASSERT_TRUE(first.WaitUntil([&] { return steps() >= 6; }));
  std::vector<std::string> again = arguments;
  for (const bool resumes : {false, true}) {
    if (resumes) again.push_back("--resume");
    const ToolResult second = RunToolProcess("train", again);
    EXPECT_EQ(second.exit_code, 2) << second.output;
    EXPECT_NE(second.output.find(run + ": another job writes this run"), std::string::npos) << second.output;
  }
  const ToolResult eval = RunToolProcess("eval", {"--checkpoint=" + run});
  EXPECT_EQ(eval.exit_code, 0) << "who only reads is free to\n" << eval.output;
  const int before = steps();
  EXPECT_TRUE(first.WaitUntil([&] { return steps() > before + 2; })) << "the first goes on";
  first.Signal(SIGKILL);
  EXPECT_EQ(first.Wait().exit_code, 128 + SIGKILL);
  again.back() = "--steps=1";  // after --resume, it has nothing left to do
  again.push_back("--resume");
  const ToolResult resumed = RunToolProcess("train", again);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
}

TEST(RunFolder, JobsThatStartAtOnceTakeOneEach) {
  const std::string config = TinyConfig(), place = NewFolder("place");
  const std::vector<std::string> in_place = {"env", "BUILD_WORKING_DIRECTORY=" + place};
  std::vector<std::unique_ptr<ToolProcess>> processes;
  for (const char* more : {"--seed=1", "--seed=2", "--restarts=1", "--restarts=1"}) {
    processes.push_back(std::make_unique<ToolProcess>(
        "train", std::vector<std::string>{"--config=" + config, "--steps=1", more}, in_place));
  }
  for (const auto& process : processes) {
    const ToolResult result = process->Wait();
    EXPECT_EQ(result.exit_code, 0) << result.output;
  }
  for (const char* name : {"tiny", "tiny-2", "tiny-3", "tiny-4"}) {
    EXPECT_TRUE(FindCheckpoint(place + "/runs/" + name).ok()) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(place + "/runs/tiny-5"));
  ToolProcess wrong("train", {"--config=" + config, "--restarts=1", "--set", "model.num_classes=7"}, in_place);
  EXPECT_EQ(wrong.Wait().exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(place + "/runs/tiny-5")) << "of a job that could not begin nothing is left";
}

// Of a program that was replaced, or removed, since the job began: the one that runs starts the job again, and finds
// the configs that it shipped with.
TEST(Restart, OutlivesTheProgramsFile) {
  namespace fs = std::filesystem;
  const std::string place = NewFolder("program"), run = NewFolder("run"), program = place + "/train";
  fs::copy_file(fs::canonical("tools/train"), program);
  fs::create_directories(program + ".runfiles/trireme/tools/configs");
  fs::copy_file(TinyConfig(), program + ".runfiles/trireme/tools/configs/shipped_tiny.pbtxt");
  // The tool that it is given it replaces by the copy.
  ToolProcess guard("train",
                    {"--config=shipped_tiny.pbtxt", "--out=" + run, "--restarts=1", "--steps=100000", "--set",
                     "checkpoint.every_steps=2"},
                    {"sh", "-c", "shift; exec \"$0\" \"$@\"", program});
  const auto steps = [&] {
    const auto events = ReadEvents(run);
    return events.empty() ? 0 : events.back().value("step", 0);
  };
  ASSERT_TRUE(guard.WaitUntil([&] { return steps() >= 4; }));
  fs::remove(program);
  for (const pid_t process : ProcessesOf(run)) {
    if (process != guard.pid()) kill(process, SIGKILL);
  }
  const int before = steps();
  EXPECT_TRUE(guard.WaitUntil([&] { return steps() > before + 3; }));
  guard.Signal(SIGTERM);
  const ToolResult result = guard.Wait();
  EXPECT_NE(result.output.find("restart 1 of 1"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("stopped after step"), std::string::npos) << result.output;
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

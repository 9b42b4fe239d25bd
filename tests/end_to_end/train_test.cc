// The main command, from the front door to what it leaves behind.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/safetensors.h"
#include "tests/end_to_end/tool_process.h"
#include "tests/end_to_end/train_runs.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// || a - b || / || a || of every tensor.
void ExpectClose(const std::string& run_a, const std::string& run_b, double bound) {
  const auto a = ReadSafetensors(Model(run_a));
  const auto b = ReadSafetensors(Model(run_b));
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_EQ(a->arrays.size(), b->arrays.size());
  ASSERT_FALSE(a->arrays.empty());
  for (size_t i = 0; i < a->arrays.size(); ++i) {
    const auto& x = a->arrays[i].values;
    const auto& y = b->arrays[i].values;
    ASSERT_EQ(x.size(), y.size());
    double difference = 0, norm = 0;
    for (size_t j = 0; j < x.size(); ++j) {
      difference += (static_cast<double>(x[j]) - y[j]) * (static_cast<double>(x[j]) - y[j]);
      norm += static_cast<double>(x[j]) * x[j];
    }
    EXPECT_LE(std::sqrt(difference), bound * std::sqrt(norm) + 1e-12) << a->arrays[i].name;
  }
}

TEST(Train, LeavesCheckpointMetricsAndReport) {
  const std::string run = NewFolder("run");
  const ToolResult result = RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + run, "--workers=2"});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto events = ReadEvents(run);
  ASSERT_EQ(events.size(), 1 + 8 + 1 + 1u) << result.output;
  EXPECT_EQ(events.front()["event"], "start");
  EXPECT_EQ(events.back()["event"], "end");
  EXPECT_EQ(events.back()["status"], "done");
  EXPECT_EQ(events[9]["event"], "eval");
  EXPECT_GE(events[9]["mAP50"].get<double>(), 0.0);
  for (int i = 1; i <= 8; ++i) {
    const auto& step = events[static_cast<size_t>(i)];
    EXPECT_EQ(step["event"], "step");
    EXPECT_EQ(step["step"], i);
    const auto& losses = step["losses"];
    EXPECT_EQ(losses.size(), 2u);
    EXPECT_NEAR(step["loss"].get<double>(),
                losses["localization"].get<double>() + losses["classification"].get<double>(), 1e-4);
    for (const char* key : {"epoch", "lr", "images_per_second", "data_wait", "peer_wait"}) {
      EXPECT_TRUE(step[key].is_number()) << key;
    }
  }
  const std::string report = ReadAll(run + "/report.html");
  EXPECT_NE(report.find("<svg"), std::string::npos);
  EXPECT_NE(report.find("data:image/jpeg;base64,"), std::string::npos);
  EXPECT_NE(result.output.find("mAP50"), std::string::npos);
  EXPECT_NE(result.output.find(run + "/report.html"), std::string::npos);
}

// How the workers talk, and how many there are.
class Workers : public testing::TestWithParam<std::tuple<std::string, int>> {};

// Where a unit lies within rounding of zero, another order of summation switches its relu, which moves the gradients
// below it by a thousandth. A tensor that starts at zero is nothing but gradients, so the comparison starts from
// weights that were trained for a while; and of a small network, where such units are rare.
TEST_P(Workers, GiveTheWeightsOfOne) {
  const auto& [communicator, workers] = GetParam();
  const std::string config = TinyConfig(), start = NewFolder("start"), one = NewFolder("one"), many = NewFolder("many");
  const std::vector<std::string> common = {"--config=" + config,
                                           "--set",
                                           "global_batch_size=16",
                                           "--set",
                                           "model.backbone.stem_channels=8",
                                           "--set",
                                           "model.backbone.zero_init_residual=false",
                                           "--set",
                                           "model.backbone.stage=[{channels: 8}, {channels: 16}, {channels: 24}]"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), common.begin(), common.end());
    return RunToolProcess("train", more);
  };
  ASSERT_EQ(with({"--out=" + start, "--steps=60"}).exit_code, 0);
  const std::string weights = "initial_weights=" + Model(start);
  const std::vector<std::string> twenty_steps = {"--steps=20", "--set", weights, "--set",
                                                 "schedule={[schedule/constant] {learning_rate: 1e-4}}"};
  const auto twenty = [&](std::vector<std::string> more) {
    more.insert(more.end(), twenty_steps.begin(), twenty_steps.end());
    return with(more);
  };
  ASSERT_EQ(twenty({"--out=" + one, "--workers=1"}).exit_code, 0);
  const ToolResult result =
      twenty({"--out=" + many, "--workers=" + std::to_string(workers), "--set", CommunicatorOf(communicator)});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  ExpectClose(one, many, 1e-5);
}

// Three take 5, 5 and 6 images.
INSTANTIATE_TEST_SUITE_P(Numbers, Workers,
                         testing::Combine(testing::Values("threads", "gloo"), testing::Values(2, 3, 4)));

// A run that is at its end evaluates again when it is resumed, with as many workers as it is told.
TEST(Train, EveryNumberOfWorkersFindsTheSameInAnEvaluation) {
  const std::string run = NewFolder("run");
  const auto evaluate = [&](std::vector<std::string> more) {
    more.insert(more.end(),
                {"--config=" + TinyConfig(), "--out=" + run, "--steps=30", "--set", "global_batch_size=12"});
    const ToolResult result = RunToolProcess("train", more);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    const auto events = ReadEvents(run);
    nlohmann::json evaluation = events[events.size() - 2];
    EXPECT_EQ(evaluation["event"], "eval");
    return evaluation;
  };
  const nlohmann::json of_one = evaluate({"--workers=1"});
  EXPECT_GT(of_one["mAP50"].get<double>(), 0);
  for (const std::string communicator : {"threads", "gloo"}) {
    for (const char* workers : {"--workers=2", "--workers=3", "--workers=4"}) {
      EXPECT_EQ(evaluate({"--resume", workers, "--set", CommunicatorOf(communicator)}), of_one)
          << communicator << " " << workers;
    }
  }
}

class Evaluation : public testing::TestWithParam<std::string> {};

// With norm per worker each has running statistics of its own; the file has rank 0's, or their average.
TEST_P(Evaluation, IsOfTheModelThatTheCheckpointHas) {
  const std::string run = NewFolder("run"), json = run + "/eval.json";
  const ToolResult trained = RunToolProcess(
      "train", {"--config=" + TinyConfig(), "--out=" + run, "--steps=30", "--workers=3", "--set",
                "global_batch_size=12", "--set", "model.backbone.norm={mode: PER_WORKER}", "--set", GetParam()});
  ASSERT_EQ(trained.exit_code, 0) << trained.output;
  const ToolResult again = RunToolProcess("eval", {"--checkpoint=" + run, "--json=" + json});
  ASSERT_EQ(again.exit_code, 0) << again.output;
  const auto evaluation = nlohmann::json::parse(ReadAll(json));
  const auto events = ReadEvents(run);
  const nlohmann::json of_run = events[events.size() - 2];
  ASSERT_EQ(of_run["event"], "eval");
  EXPECT_GT(of_run["mAP50"].get<double>(), 0) << "or there is nothing to compare";
  for (const auto& [name, value] : evaluation.items()) {
    if (name.find("AP") == std::string::npos) continue;
    EXPECT_EQ(of_run[name], value) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Evaluation, testing::Values("seed=1", "weight_average={decay: 0.8 warmup_steps: 0}"));

class Narrow : public testing::TestWithParam<std::string> {};

TEST_P(Narrow, TrainsEvaluatesAndDetects) {
  const std::string run = NewFolder("run"), wide = NewFolder("wide"), config = TinyConfig();
  ASSERT_EQ(RunToolProcess("train", {"--config=" + config, "--out=" + wide, "--workers=2"}).exit_code, 0);
  const ToolResult result =
      RunToolProcess("train", {"--config=" + config, "--out=" + run, "--workers=2", "--set", "precision=" + GetParam(),
                               // Low enough to skip no step, which would part the curves.
                               "--set", "loss_scale.initial=256"});
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto events = ReadEvents(run), wide_events = ReadEvents(wide);
  ASSERT_EQ(events.size(), wide_events.size());
  EXPECT_EQ(events.front()["precision"], GetParam());
  for (size_t i = 0; i < events.size(); ++i) {
    if (events[i]["event"] != "step") continue;
    const double loss = events[i]["loss"], wide_loss = wide_events[i]["loss"];
    EXPECT_NEAR(loss, wide_loss, 0.05 * wide_loss) << "step " << i;
    EXPECT_EQ(events[i].contains("loss_scale"), GetParam() == "FP16");
  }
  double trained = -1;
  for (const auto& event : events) {
    if (event["event"] == "eval") trained = event["mAP50"];
  }
  const ToolResult eval = RunToolProcess("eval", {"--checkpoint=" + run, "--json=" + run + "/eval.json"});
  ASSERT_EQ(eval.exit_code, 0) << eval.output;
  EXPECT_EQ(nlohmann::json::parse(ReadAll(run + "/eval.json"))["mAP50"].get<double>(), trained);
}

INSTANTIATE_TEST_SUITE_P(Precisions, Narrow, testing::Values("BF16", "FP16"));

TEST(Train, NamesABatchThatFitsIntoTheMemory) {
  const std::string config = TinyConfig();
  const auto train = [&](const std::string& out, int batch) {
    return RunToolProcess("train",
                          {"--config=" + config, "--out=" + out, "--workers=2", "--steps=2", "--device=cpu", "--set",
                           "memory_limit_mb=64", "--set", "global_batch_size=" + std::to_string(batch)});
  };
  const ToolResult result = train(NewFolder("large"), 64);
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_NE(result.output.find("the limit is 64 MiB"), std::string::npos) << result.output;
  for (const char* kind : {"parameters", "gradients", "optimizer", "activations"}) {
    EXPECT_TRUE(std::regex_search(result.output, std::regex(absl::StrCat(kind, " (take )?[0-9]+ MiB"))))
        << result.output;
  }
  const std::string words = "set global_batch_size to ";
  const size_t at = result.output.find(words);
  ASSERT_NE(at, std::string::npos) << result.output;
  const int batch = std::stoi(result.output.substr(at + words.size()));
  EXPECT_EQ(batch % 2, 0);
  const ToolResult smaller = train(NewFolder("smaller"), batch);
  EXPECT_EQ(smaller.exit_code, 0) << batch << "\n" << smaller.output;
}

TEST(Tools, DetectSaysThatItsMemoryIsTooLittle) {
  const std::string run = NewFolder("run");
  ASSERT_EQ(RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + run, "--steps=1"}).exit_code, 0);
  int too_little = 0;
  for (int megabytes = 1;; megabytes *= 2) {
    ASSERT_LE(megabytes, 1024);
    const ToolResult detect =
        RunToolProcess("detect", {"--checkpoint=" + run, "--images=" + run + "/pictures/*.jpg",
                                  "--out=" + NewFolder("found"), "--set", absl::StrCat("memory_limit_mb=", megabytes)});
    if (detect.exit_code == 0) break;
    ++too_little;
    EXPECT_EQ(detect.exit_code, 1) << detect.output;
    EXPECT_NE(detect.output.find(absl::StrCat("the limit is ", megabytes, " MiB")), std::string::npos) << detect.output;
  }
  EXPECT_GT(too_little, 0);
}

TEST(Train, RefusesToOverwriteARun) {
  const std::string run = NewFolder("run"), config = TinyConfig();
  ASSERT_EQ(RunToolProcess("train", {"--config=" + config, "--out=" + run, "--steps=1"}).exit_code, 0);
  const ToolResult again = RunToolProcess("train", {"--config=" + config, "--out=" + run, "--steps=1"});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_NE(again.output.find("--resume"), std::string::npos) << again.output;
}

TEST(Train, ShowsWhatItTrainsOn) {
  const std::string run = NewFolder("run"), config = TinyConfig();
  ASSERT_EQ(
      RunToolProcess("train", {"--config=" + config, "--out=" + run, "--steps=2", "--set", "log.pictures=1"}).exit_code,
      0);
  const std::string picture = ReadAll(run + "/train_pictures/000.jpg");
  EXPECT_FALSE(fs::exists(run + "/train_pictures/001.jpg"));
  EXPECT_NE(ReadAll(run + "/report.html").find(absl::Base64Escape(picture)), std::string::npos);
  // Those of the run's own first step stay.
  ASSERT_EQ(RunToolProcess("train", {"--config=" + config, "--out=" + run, "--steps=4", "--resume"}).exit_code, 0);
  EXPECT_EQ(ReadAll(run + "/train_pictures/000.jpg"), picture);

  const std::string without = NewFolder("without");
  ASSERT_EQ(RunToolProcess("train", {"--config=" + config, "--out=" + without, "--steps=1", "--set", "log.pictures=0"})
                .exit_code,
            0);
  EXPECT_FALSE(fs::exists(without + "/train_pictures"));
}

TEST(Tools, EvalAndDetectUseTheCheckpoint) {
  const std::string run = NewFolder("run"), found = NewFolder("found");
  ASSERT_EQ(RunToolProcess("train", {"--config=" + TinyConfig(), "--out=" + run}).exit_code, 0);
  double trained = -1;
  for (const auto& event : ReadEvents(run)) {
    if (event["event"] == "eval") trained = event["mAP50"];
  }
  const ToolResult eval = RunToolProcess("eval", {"--checkpoint=" + run, "--json=" + found + "/eval.json"});
  ASSERT_EQ(eval.exit_code, 0) << eval.output;
  EXPECT_EQ(nlohmann::json::parse(ReadAll(found + "/eval.json"))["mAP50"].get<double>(), trained);

  const ToolResult detect =
      RunToolProcess("detect", {"--checkpoint=" + run, "--images=" + run + "/pictures/*.jpg", "--out=" + found});
  ASSERT_EQ(detect.exit_code, 0) << detect.output;
  const auto results = nlohmann::json::parse(ReadAll(found + "/results.json"), nullptr, false);
  ASSERT_TRUE(results.is_array());
  for (const auto& result : results) {
    EXPECT_EQ(result["bbox"].size(), 4u);
    EXPECT_TRUE(result["score"].is_number());
    EXPECT_TRUE(result["category_id"].is_number_integer());
    EXPECT_TRUE(result["image_id"].is_number_integer());
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(run + "/pictures"), fs::directory_iterator{}) + 1 + 1,
            std::distance(fs::directory_iterator(found), fs::directory_iterator{}));  // results.json, eval.json
}

}  // namespace
}  // namespace trireme

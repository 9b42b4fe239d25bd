// What is wrong with the user's input ends in a sentence and exit code 2, before training; damaged files in exit
// code 1.
#include <gtest/gtest.h>

#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

struct BadInput {
  std::string name;
  std::string tool;
  std::vector<std::string> arguments;   // besides --config and --out
  std::vector<std::string> words;       // that the message contains
  std::string replace = "", with = "";  // in the text of the tiny config
  int exit_code = 2;
};

void PrintTo(const BadInput& bad, std::ostream* out) { *out << bad.name; }

class BadInputTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadInputTest, EndsInASentence) {
  const BadInput& bad = GetParam();
  const std::string config = TinyConfig();
  if (!bad.replace.empty()) {
    std::string text = ReadAll(config);
    const size_t at = text.find(bad.replace);
    ASSERT_NE(at, std::string::npos);
    WriteAll(config, text.replace(at, bad.replace.size(), bad.with));
  }
  std::vector<std::string> arguments = bad.arguments;
  if (bad.tool == "train") {
    arguments.insert(arguments.begin(), {"--config=" + config, "--out=" + NewFolder("out")});
  }
  const ToolResult result = RunToolProcess(bad.tool, arguments);
  EXPECT_EQ(result.exit_code, bad.exit_code) << result.output;
  for (const std::string& word : bad.words) {
    EXPECT_NE(result.output.find(word), std::string::npos) << "\"" << word << "\" is not in:\n" << result.output;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, BadInputTest,
    testing::Values(
        BadInput{"MissingConfig", "train", {"--config=nosuch.pbtxt"}, {"nosuch.pbtxt", "no such config"}},
        BadInput{"LongConfigName", "train", {"--config=" + std::string(300, 'x')}, {"xxx", "File name too long"}},
        BadInput{"NoCheckpoint", "eval", {"--checkpoint=/nosuch"}, {"/nosuch", "neither a checkpoint"}},
        BadInput{"NoPictures", "detect", {"--images=/nosuch/*.jpg"}, {"/nosuch/*.jpg", "matches no file"}},
        BadInput{"UnknownFlag", "train", {"--colour=red"}, {"colour"}},
        BadInput{"Positional", "train", {"fast"}, {"\"fast\" is no flag"}},
        BadInput{"UnknownField", "train", {}, {"tiny.pbtxt:4:", "num_klasses"}, "num_classes", "num_klasses"},
        BadInput{
            "UnknownComponent", "train", {}, {"tiny.pbtxt:3:", "did you mean model/ssd?"}, "model/ssd", "model/sdd"},
        BadInput{"WrongKind",
                 "train",
                 {},
                 {"optimizer", "is not a optimizer"},
                 "optimizer/sgd] { momentum: 0.9 weight_decay: 5e-4 }",
                 "schedule/cosine] {}"},
        BadInput{"ClassCount", "train", {"--set", "model.num_classes=7"}, {"7", "6"}},
        BadInput{"BadOverride", "train", {"--set", "model.nosuch=7"}, {"nosuch", "num_classes"}},
        BadInput{"BadOverrideValue", "train", {"--set", "steps=many"}, {"steps=many"}},
        BadInput{
            "FewerImagesThanWorkers", "train", {"--workers=5"}, {"global_batch_size is 4", "5 workers", "at least 5"}},
        BadInput{"FarTooManyProcesses",
                 "train",
                 {"--workers=40000", "--set", "communicator={[communicator/gloo] {}}"},
                 {"global_batch_size is 4", "40000 workers"}},
        BadInput{"FewerImagesThanWorkersInAPart",
                 "train",
                 {"--workers=3", "--set", "accumulate_steps=2"},
                 {"global_batch_size is 4 in 2 parts", "3 workers", "at least 6"}},
        BadInput{"MoreWorkersThanImages",
                 "train",
                 {"--workers=4", "--set", "train_data.num_images=3"},
                 {"4 workers", "3 images"}},
        BadInput{"NoReference", "train", {"--set", "reference_global_batch=0"}, {"reference_global_batch is 0"}},
        BadInput{"NegativeWarmUp", "train", {"--set", "lr_scaling_warmup_steps=-3"}, {"lr_scaling_warmup_steps is -3"}},
        BadInput{"NoParts", "train", {"--set", "accumulate_steps=0"}, {"accumulate_steps is 0"}},
        BadInput{"IndivisibleParts", "train", {"--set", "accumulate_steps=3"}, {"global_batch_size is 4", "3 parts"}},
        BadInput{"NoLimit", "train", {"--set", "not_finite_limit=0"}, {"not_finite_limit is 0", "at least 1"}},
        BadInput{"NoNorm", "train", {"--set", "clip_gradient_norm=0"}, {"clip_gradient_norm is 0", "more than 0"}},
        BadInput{"NotANorm", "train", {"--set", "clip_gradient_norm=nan"}, {"clip_gradient_norm is nan"}},
        BadInput{"UnknownDevice", "train", {"--device=tpu"}, {"tpu", "cpu, cuda"}},
        BadInput{
            "DevicesOfNoKind", "train", {"--device=cpu", "--devices=0,2"}, {"devices is 0,2 and device is \"cpu\""}},
        BadInput{"DevicesThatAreNone", "train", {"--device=auto", "--devices=900"}, {"devices lists GPU 900"}},
        BadInput{"DevicesInWords", "train", {"--devices=0,first"}, {"--devices=0,first", "\"first\" is no number"}},
        BadInput{"NoDevices", "train", {"--devices="}, {"--devices is empty"}},
        BadInput{"DevicesBetweenCommas", "train", {"--devices=,"}, {"--devices is empty"}},
        BadInput{"PluginThatComesTooLate", "train", {"--set", "plugin=x.so"}, {"say --plugin=FILE"}},
        BadInput{"TraceIntoAFolder", "train", {"--trace=/tmp"}, {"--trace=/tmp", "that is a folder"}},
        BadInput{"FiguresIntoAFolder", "eval", {"--json=/tmp"}, {"--json=/tmp", "that is a folder"}},
        BadInput{"FiguresIntoNoFolder", "eval", {"--results=/nosuch/x"}, {"there is no folder /nosuch"}},
        BadInput{"FarTooManyThreads", "train", {"--set", "loader.threads=65537"}, {"loader.threads is 65537"}},
        BadInput{"NoThreshold", "detect", {"--images=/tmp", "--threshold=nan"}, {"--threshold=nan", "0..1"}},
        BadInput{"NowhereToDetect", "detect", {"--images=/tmp", "--out="}, {"say --out=DIR"}},
        BadInput{"WeightsThatAreNone",
                 "train",
                 {"--set", "initial_weights=/dev/null"},
                 {"initial_weights: /dev/null", "ends within its first 8 bytes"},
                 "",
                 "",
                 1},
        BadInput{"NoSteps", "train", {"--steps=0"}, {"steps is 0; it has to be at least 1"}},
        BadInput{"NoWorkers", "train", {"--workers=0"}, {"workers is 0; it has to be at least 1"}},
        BadInput{"NegativeSeed", "train", {"--seed=-3"}, {"--seed is -3"}},
        BadInput{"NegativeCheckpoints",
                 "train",
                 {"--set", "checkpoint.every_steps=-100"},
                 {"checkpoint.every_steps is -100; it has to be at least 0"}},
        BadInput{"NegativeKeep", "train", {"--set", "checkpoint.keep=-1"}, {"checkpoint.keep is -1"}},
        BadInput{
            "NegativeEvaluations", "train", {"--set", "evaluation.every_steps=-1"}, {"evaluation.every_steps is -1"}},
        BadInput{"NegativePictures", "train", {"--set", "evaluation.pictures=-2"}, {"evaluation.pictures is -2"}},
        BadInput{"NegativeLog", "train", {"--set", "log.every_steps=-5"}, {"log.every_steps is -5"}},
        BadInput{"NegativeCache", "train", {"--set", "loader.cache_mb=-1"}, {"loader.cache_mb is -1"}},
        BadInput{"NegativeThreads", "train", {"--set", "threads_per_worker=-2"}, {"threads_per_worker is -2"}},
        BadInput{"NoLoaderThreads", "train", {"--set", "loader.threads=0"}, {"loader.threads is 0", "at least 1"}},
        BadInput{"MoreMemoryThanThereCanBe",
                 "train",
                 {"--set", "memory_limit_mb=17592186044416"},
                 {"memory_limit_mb is 17592186044416", "at most 8589934592"}},
        BadInput{"MoreAtStartThanEver",
                 "train",
                 {"--set", "memory_limit_mb=10", "--set", "memory_at_start_mb=11"},
                 {"memory_at_start_mb is 11", "no more than memory_limit_mb"}},
        BadInput{"RestartsBelowNone", "train", {"--restarts=-1"}, {"--restarts"}},
        BadInput{"DecoderWithoutGpu",
                 "train",
                 {"--device=cpu", "--set", "loader.decode=NVJPEG"},
                 {"train: loader.decode: NVJPEG needs a GPU", "loader { decode: CPU }"}},
        BadInput{"MissingPlugin", "train", {"--plugin=/nosuch.so"}, {"/nosuch.so"}},
        BadInput{"MissingDataRoot",
                 "train",
                 {"--set", "train_data={[dataset/voc] {root: \"/nosuch\" split: \"train\"}}"},
                 {"train_data", "/nosuch"}},
        BadInput{"ResumeNothing", "train", {"--resume"}, {"--resume", "neither a checkpoint"}},
        BadInput{"NoModel", "train", {"--set", "initial_weights=/nosuch.safetensors"}, {"/nosuch.safetensors"}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace trireme

#include "core/train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "core/base/files.h"
#include "core/train/safetensors.h"
#include "core/train/weights.h"
#include "tests/core/testing/fake_job.h"
#include "tests/core/testing/names_in.h"
#include "tests/core/testing/temporary_folder.h"
#include "tests/core/testing/toy_training.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::NamesIn;
using testing::RunFakeJob;
using testing::TemporaryFolder;
using testing::ToyOptimizer;
using testing::ToyStrategy;

class Net : public Module {
 public:
  explicit Net(int64_t width = 3) {
    AddParameter("weight", {width, 2}, init::Normal(1));
    AddParameter("bias", {width}, init::Normal(1));
    AddBuffer("running_mean", {width}, 0);
  }
};

// One worker's share of a run, filled with numbers of its own.
struct Worker {
  explicit Worker(int world_size, int64_t width = 3, uint64_t seed = 1)
      : device(*MakeDevice("cpu", 1)),
        net(width),
        arena(*ParameterArena::Build(&net, *device, world_size, seed)),
        strategy({arena.get(), &optimizer, nullptr}) {
    CHECK(optimizer.Setup(*arena, {WholeArena(*arena)}).ok());
  }
  void FillState(float first) {
    for (const Tensor& tensor : {optimizer.State()[0].values, arena->buffer_values()}) {
      std::iota(tensor.data<float>(), tensor.data<float>() + tensor.size(), first);
    }
  }
  std::vector<float> Buffer() const { return arena->buffers()[0]->value.ToVector<float>(); }
  // Of all parameters; what pads the arena is nobody's.
  std::vector<float> Of(const Tensor& flat) const {
    std::vector<float> values;
    for (const Parameter* p : arena->parameters()) {
      const std::vector<float> part = flat.Flat(p->offset, p->offset + p->shape.size()).ToVector<float>();
      values.insert(values.end(), part.begin(), part.end());
    }
    return values;
  }
  std::vector<float> Values() const { return Of(arena->values()); }
  std::vector<float> Momentum() const { return Of(optimizer.State()[0].values); }

  std::unique_ptr<Device> device;
  Net net;
  std::unique_ptr<ParameterArena> arena;
  ToyOptimizer optimizer;
  ToyStrategy strategy;
};

CheckpointParts PartsOf(Worker& worker) { return {worker.arena.get(), &worker.optimizer, &worker.strategy, {}}; }

// As a run that is resumed.
Status Load(const std::string& checkpoint, int rank, Worker* worker) {
  TRIREME_RETURN_IF_ERROR(LoadWeights(ModelFile(checkpoint), worker->arena.get()));
  return LoadTrainingState(checkpoint, rank, PartsOf(*worker));
}

CheckpointInfo Info(int64_t step, int world_size = 1) {
  CheckpointInfo info;
  info.step = step;
  info.seed = 0xffffffffffffffff;
  info.world_size = world_size;
  info.global_batch_size = 16;
  info.class_names = {"cell", "pl\xc3\xa4ttchen"};
  info.category_ids = {7, 90};
  info.config_text = "steps: 3\n";
  return info;
}

Status Save(const std::string& run, int keep, const CheckpointInfo& info, Worker& worker) {
  return RunFakeJob(
      1, [&](Communicator& communicator) { return SaveCheckpoint(run, keep, info, PartsOf(worker), communicator); })[0];
}

TEST(CheckpointTest, OfAModelAloneNoRunGoesOn) {
  const TemporaryFolder run;
  Worker worker(1);
  ASSERT_TRUE(SaveModel(run.path(), Info(0), *worker.arena).ok());
  Worker other(1, 3, 2);
  const Status status = Load(*FindCheckpoint(run.path()), 0, &other);
  EXPECT_EQ(other.Values(), worker.Values());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("no run that could go on"), HasSubstr("initial_weights")));
}

TEST(CheckpointTest, ComesBackWhole) {
  const TemporaryFolder run;
  Worker before(1);
  before.FillState(100);
  ASSERT_TRUE(Save(run.path(), 2, Info(12), before).ok());
  const auto found = FindCheckpoint(run.path());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, run / "checkpoints/step_00000012");
  EXPECT_EQ(*FindCheckpoint(*found), *found);
  EXPECT_THAT(NamesIn(*found),
              ElementsAre("checkpoint.json", "config.pbtxt", "model.safetensors", "state.safetensors"));

  const auto info = ReadCheckpointInfo(*found);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->step, 12);
  EXPECT_EQ(info->seed, 0xffffffffffffffff);
  EXPECT_EQ(info->world_size, 1);
  EXPECT_EQ(info->global_batch_size, 16);
  EXPECT_EQ(info->class_names, Info(0).class_names);
  EXPECT_EQ(info->category_ids, Info(0).category_ids);
  EXPECT_EQ(info->config_text, "steps: 3\n");

  Worker after(1, 3, /*seed=*/9);
  ASSERT_NE(after.Values(), before.Values());
  ASSERT_TRUE(Load(*found, 0, &after).ok());
  EXPECT_EQ(after.Values(), before.Values());
  EXPECT_EQ(after.Momentum(), before.Momentum());
  EXPECT_EQ(after.Buffer(), before.Buffer());

  Worker weights_only(1, 3, /*seed=*/9);
  ASSERT_TRUE(LoadWeights(*found + "/model.safetensors", weights_only.arena.get()).ok());
  EXPECT_EQ(weights_only.Values(), before.Values());
  EXPECT_EQ(weights_only.Buffer(), before.Buffer());
  EXPECT_EQ(weights_only.Momentum(), std::vector<float>(9));
}

TEST(CheckpointTest, AWriteThatFailsIsEveryRanksStatus) {
  const TemporaryFolder run;
  run.Write("checkpoints", "a file where the folder should be");
  const std::vector<Status> statuses = RunFakeJob(2, [&](Communicator& communicator) {
    Worker worker(2);
    return SaveCheckpoint(run.path(), 2, Info(4, 2), PartsOf(worker), communicator);
  });
  for (const Status& status : statuses) {
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr("checkpoints"));
  }
}

// In a process of its own, whose files may not grow beyond some size. Exit code 0 if all went as it should.
int SaveOnAFullDisk(const std::string& run) {
  signal(SIGXFSZ, SIG_IGN);
  Worker worker(1);
  if (!Save(run, 2, Info(1), worker).ok()) return 1;
  rlimit limit = {};
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = 100;
  setrlimit(RLIMIT_FSIZE, &limit);
  const Status full = Save(run, 2, Info(2), worker);
  return !full.ok() && std::string(full.message()).find("model.safetensors") != std::string::npos ? 0 : 2;
}

TEST(CheckpointTest, OneThatDoesNotFitOnTheDiskLeavesItsRoomToOthers) {
  const TemporaryFolder run;
  const pid_t child = fork();
  if (child == 0) _exit(SaveOnAFullDisk(run.path()));
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_TRUE(WIFEXITED(state));
  EXPECT_EQ(WEXITSTATUS(state), 0);
  EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_00000001"));
}

TEST(CheckpointTest, EveryRankHasItsOwnBuffersInAnyWorld) {
  const TemporaryFolder run;
  for (const Status& status : RunFakeJob(3, [&](Communicator& communicator) {
         Worker worker(3);
         worker.FillState(static_cast<float>(100 * communicator.rank()));
         return SaveCheckpoint(run.path(), 2, Info(4, 3), PartsOf(worker), communicator);
       })) {
    ASSERT_TRUE(status.ok()) << status;
  }
  const std::string checkpoint = *FindCheckpoint(run.path());
  EXPECT_EQ(ReadCheckpointInfo(checkpoint)->world_size, 3);
  // Loaded by one, three and five workers, whose arenas have other paddings.
  for (int world_size : {1, 3, 5}) {
    for (int rank = 0; rank < world_size; ++rank) {
      Worker worker(world_size, 3, 9);
      ASSERT_TRUE(Load(checkpoint, rank, &worker).ok());
      const float first = rank < 3 ? 100.0f * static_cast<float>(rank) : 0.0f;
      EXPECT_THAT(worker.Buffer(), ElementsAre(first, first + 1, first + 2));
      EXPECT_EQ(worker.Values(), Worker(1).Values());
      EXPECT_EQ(worker.Momentum()[6], 16);  // rank 0's; the bias begins after a padded weight
    }
  }
}

// It decides whose buffers are kept.
TEST(CheckpointDeathTest, AJobHasAWorkerAndNoMoreThanRanks) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TemporaryFolder run;
  Worker worker(1);
  for (const int workers : {-1, 0, 2}) {
    EXPECT_DEATH(Save(run.path(), 2, Info(4, workers), worker).IgnoreError(), " workers among 1 ranks");
  }
}

TEST(LoadWeightsTest, ListsAllDifferencesAndLoadsNothing) {
  const TemporaryFolder run;
  SafetensorsContent content;
  content.arrays.push_back({"weight", {3, 3}, std::vector<float>(9, 1)});
  content.arrays.push_back({"bias", {3}, {1, 2, 3}});
  content.arrays.push_back({"stranger", {1}, {1}});
  content.metadata["filter_layout"] = "OHWI";
  ASSERT_TRUE(WriteSafetensors(run / "file", content).ok());
  Worker worker(1);
  const std::vector<float> before = worker.Values();
  const Status status = LoadWeights(run / "file", worker.arena.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr(run / "file"), HasSubstr("3 differences"), HasSubstr("weight is [3, 3], the model's is [3, 2]"),
            HasSubstr("running_mean [3] is missing"), HasSubstr("stranger [1] is not in the model")));
  EXPECT_EQ(worker.Values(), before);
}

// Where kernels are as wide as there are channels, their shapes would not tell.
TEST(LoadWeightsTest, FilesOfOtherProgramsAreRefused) {
  const TemporaryFolder run;
  Worker worker(1);
  SafetensorsContent content = WeightsOf(*worker.arena);
  for (const char* layout : {"OHWI", "OIHW", ""}) {
    content.metadata["filter_layout"] = layout;
    if (*layout == 0) content.metadata.clear();
    ASSERT_TRUE(WriteSafetensors(run / "file", content).ok());
    const Status status = LoadWeights(run / "file", worker.arena.get());
    if (std::string(layout) == "OHWI") {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(run / "file"), HasSubstr("//tools:convert")));
    }
  }
}

TEST(LoadWeightsTest, ValuesThatAreNotFiniteAreRefusedAndNothingIsLoaded) {
  for (const float odd : {NAN, INFINITY}) {
    Worker worker(1);
    SafetensorsContent content = WeightsOf(*worker.arena);
    for (NamedArray& array : content.arrays) array.values.assign(array.values.size(), 7);
    content.arrays.back().values.back() = odd;
    const std::vector<float> before = worker.Values();
    const Status status = SetWeights(content, "a.safetensors", worker.arena.get());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("a.safetensors"), HasSubstr(content.arrays.back().name)));
    EXPECT_EQ(worker.Values(), before);
  }
}

TEST(LoadWeightsTest, AnotherModelsCheckpointIsRefused) {
  const TemporaryFolder run;
  Worker narrow(1, 3);
  ASSERT_TRUE(Save(run.path(), 1, Info(1), narrow).ok());
  Worker wider(1, 4);
  const Status status = Load(*FindCheckpoint(run.path()), 0, &wider);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("[4, 2]"));
}

TEST(CheckpointTest, DamageIsAStatus) {
  const TemporaryFolder run;
  Worker worker(1);
  ASSERT_TRUE(Save(run.path(), 1, Info(1), worker).ok());
  const std::string checkpoint = *FindCheckpoint(run.path());
  for (const char* name : {"checkpoint.json", "state.safetensors", "model.safetensors"}) {
    const std::string path = checkpoint + "/" + name, bytes = *ReadFile(path);
    for (size_t size = 0; size + 2 < bytes.size(); size += 1 + bytes.size() / 40) {
      std::filesystem::resize_file(path, size);
      const Status status = Annotate(ReadCheckpointInfo(checkpoint).status(), "info");
      const Status loaded = Load(checkpoint, 0, &worker);
      EXPECT_EQ((status.ok() ? loaded : status).code(), absl::StatusCode::kDataLoss) << name << " " << size;
      ASSERT_TRUE(WriteFileDurably(path, bytes).ok());
    }
    std::filesystem::remove(path);
    EXPECT_FALSE(ReadCheckpointInfo(checkpoint).ok() && Load(checkpoint, 0, &worker).ok());
    ASSERT_TRUE(WriteFileDurably(path, bytes).ok());
  }
  const std::string whole = *ReadFile(checkpoint + "/checkpoint.json");
  for (const std::string key : {"step", "seed", "world_size", "global_batch_size", "class_names"}) {
    std::string without = whole;
    without.replace(without.find("\"" + key), key.size() + 1, "\"other");
    ASSERT_TRUE(WriteFileDurably(checkpoint + "/checkpoint.json", without).ok());
    EXPECT_EQ(ReadCheckpointInfo(checkpoint).status().code(), absl::StatusCode::kDataLoss) << without;
  }
  for (const char* json : {"3", "[]", "{\"step\": \"x\"}",
                           "{\"step\":-5,\"seed\":1,\"world_size\":1,\"global_batch_size\":1,"
                           "\"class_names\":[\"a\"]}",
                           "{\"step\":1,\"seed\":1,\"world_size\":1,\"global_batch_size\":1,"
                           "\"class_names\":[3]}",
                           "{\"step\":1,\"seed\":1,\"world_size\":1,\"global_batch_size\":1,"
                           "\"class_names\":[\"a\"],\"category_ids\":[1, 2]}",
                           "{\"step\":1,\"seed\":1,\"world_size\":1,\"global_batch_size\":1,"
                           "\"class_names\":[\"a\"],\"category_ids\":[\"1\"]}",
                           "{\"step\":1,\"seed\":1,\"world_size\":1,\"global_batch_size\":1,"
                           "\"class_names\":[\"a\"],\"class_name_bytes\":[\"6g\"]}",
                           "{\"step\":1,\"seed\":1,\"world_size\":1,\"global_batch_size\":1,"
                           "\"class_names\":[\"a\"],\"class_name_bytes\":[\"61\", \"62\"]}"}) {
    ASSERT_TRUE(WriteFileDurably(checkpoint + "/checkpoint.json", json).ok());
    EXPECT_EQ(ReadCheckpointInfo(checkpoint).status().code(), absl::StatusCode::kDataLoss) << json;
  }
}

TEST(CheckpointTest, WeightsThatAreNotFiniteReplaceNothing) {
  for (const bool of_buffer : {false, true}) {
    const TemporaryFolder run;
    Worker worker(1);
    ASSERT_TRUE(Save(run.path(), 1, Info(1), worker).ok());
    const Tensor values = of_buffer ? worker.arena->buffers()[0]->value : worker.arena->parameters()[1]->value();
    values.data<float>()[1] = of_buffer ? INFINITY : NAN;
    const Status saved = Save(run.path(), 1, Info(2), worker);
    EXPECT_EQ(saved.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(saved.message()),
                AllOf(HasSubstr("step 2"), HasSubstr(of_buffer ? "running_mean" : "bias"), HasSubstr("not finite")));
    EXPECT_THAT(NamesIn(run / "checkpoints"), ElementsAre("step_00000001"));
  }
}

// A run that goes on compares them with those of its data.
TEST(CheckpointTest, ClassNamesOfAnyBytesComeBack) {
  for (const std::vector<std::string>& names : std::vector<std::vector<std::string>>{
           {"latin \xe4", "latin \xf6"}, {"\xff"}, {"cell", "caf\xe9", "caf\xc3\xa9"}, {"caf\xc3\xa9"}}) {
    const TemporaryFolder run;
    CheckpointInfo info = Info(1);
    info.class_names = names;
    info.category_ids = {};
    Worker worker(1);
    ASSERT_TRUE(Save(run.path(), 1, info, worker).ok());
    const auto read = ReadCheckpointInfo(*FindCheckpoint(run.path()));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->class_names, names);
  }
}

}  // namespace
}  // namespace trireme

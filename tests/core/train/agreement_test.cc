#include "core/train/agreement.h"

#include <gtest/gtest.h>

#include "core/base/build_id.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

// What each rank learns, when each gives what `facts` says.
std::vector<Status> Agree(int world, const std::function<std::vector<Fact>(int rank)>& facts) {
  std::vector<Status> results(static_cast<size_t>(world));
  RunJob(world, [&](Communicator& communicator, Device& device) {
    const Status status = AgreeOn(facts(communicator.rank()), communicator, device);
    results[static_cast<size_t>(communicator.rank())] = status;
    // They all know it, so that none has to be told by another's end.
    EXPECT_TRUE(communicator.status().ok());
    return communicator.Barrier(device.compute_stream());
  }).IgnoreError();
  return results;
}

const std::vector<Fact> kFacts = {
    {"the config's steps", "8"}, {"the config's seed", "1"}, {"the program's build", "ab"}};

TEST(AgreementTest, EqualFactsAreAgreedOn) {
  for (int world = 1; world <= 4; ++world) {
    for (const Status& status : Agree(world, [](int) { return kFacts; })) EXPECT_TRUE(status.ok()) << status;
  }
  for (const Status& status : Agree(2, [](int) { return std::vector<Fact>(); })) EXPECT_TRUE(status.ok()) << status;
}

void ExpectEverywhere(const std::vector<Status>& results, const std::string& sentence) {
  for (const Status& status : results) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_NE(std::string(status.message()).find(sentence), std::string::npos) << status;
    EXPECT_EQ(status, results[0]);
  }
}

TEST(AgreementTest, TheFirstFactThatDiffersIsNamedOnEveryRank) {
  ExpectEverywhere(Agree(3,
                         [](int rank) {
                           std::vector<Fact> facts = kFacts;
                           if (rank == 2) facts[1].value = "2";
                           if (rank == 2) facts[2].value = "cd";
                           return facts;
                         }),
                   "the workers do not agree on the config's seed: it is 1 on rank 0 and 2 on rank 2;");
  ExpectEverywhere(Agree(2,
                         [](int rank) {
                           std::vector<Fact> facts = kFacts;
                           if (rank == 1) facts.erase(facts.begin());
                           return facts;
                         }),
                   "the config's steps: it is 8 on rank 0 and (none) on rank 1;");
  ExpectEverywhere(Agree(2,
                         [](int rank) {
                           std::vector<Fact> facts = kFacts;
                           if (rank == 1) facts.push_back({"the parameter head.bias", "[4]"});
                           return facts;
                         }),
                   "the parameter head.bias: it is (none) on rank 0 and [4] on rank 1;");
  ExpectEverywhere(Agree(2,
                         [](int rank) {
                           std::vector<Fact> facts = kFacts;
                           if (rank == 1) std::swap(facts[0], facts[1]);
                           return facts;
                         }),
                   "what comes at place 1: it is the config's steps on rank 0 and the config's seed on rank 1;");
}

class Pair : public Module {
 public:
  Pair(const std::string& second, const Shape& shape, bool trainable) {
    ParameterOptions options;
    options.trainable = trainable;
    AddParameter("weight", {3, 4}, init::Constant(1));
    AddParameter(second, shape, init::Constant(1), options);
    AddBuffer("mean", {4}, 0);
  }
};

TEST(AgreementTest, ParametersAreComparedByNameShapeAndWhetherTheyTrain) {
  const auto device = TestDevice();
  const auto facts = [&](const std::string& second, const Shape& shape, bool trainable) {
    Pair pair(second, shape, trainable);
    const auto arena = ParameterArena::Build(&pair, *device, 1, 1);
    EXPECT_TRUE(arena.ok());
    return FactsOf(**arena);
  };
  const std::vector<Fact> base = facts("bias", {4}, true);
  ASSERT_EQ(base.size(), 3u);
  EXPECT_EQ(base[1].name, "the parameter bias");
  const auto against_base = [&](const std::vector<Fact>& other) {
    return Agree(2, [&](int rank) { return rank == 0 ? base : other; });
  };
  for (const Status& status : against_base(facts("bias", {4}, true))) EXPECT_TRUE(status.ok()) << status;
  ExpectEverywhere(against_base(facts("bias", {5}, true)), "the parameter bias: it is");
  ExpectEverywhere(against_base(facts("bias", {4}, false)), "frozen on rank 1");
  ExpectEverywhere(against_base(facts("bia", {4}, true)), "the parameter bias: it is");
}

TEST(AgreementTest, TheProgramHasABuildIdOfItsOwn) {
  const auto ids = LoadedBuildIds();
  ASSERT_EQ(ids.count(""), 1u);
  EXPECT_GE(ids.at("").size(), 16u);
  EXPECT_EQ(ids, LoadedBuildIds());
  // Each shared object has another.
  std::map<std::string, std::string> path_of;
  for (const auto& [path, id] : ids) {
    if (id.empty()) continue;
    EXPECT_EQ(path_of.count(id), 0u) << path << " has the id of " << path_of[id];
    path_of[id] = path;
  }
  EXPECT_GT(path_of.size(), 3u);
}

}  // namespace
}  // namespace trireme

#include "tools/job/worker_place.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>

#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

TEST(WorkerPlaceTest, EveryRankKnowsWhereAllAre) {
  std::mutex mutex;
  int num_told = 0;
  const Status result = RunJob(3, [&](Communicator& communicator, Device&) -> Status {
    const auto own_device = *MakeDevice("cpu", 1 + communicator.rank());
    TRIREME_ASSIGN_OR_RETURN(const auto places, GatherWorkerPlaces(communicator, *own_device));
    std::lock_guard<std::mutex> lock(mutex);
    EXPECT_EQ(places.size(), 3u);
    for (const WorkerPlace& place : places) EXPECT_EQ(place.process, getpid());
    EXPECT_EQ(places[0].device, "cpu (1 thread)");
    EXPECT_EQ(places[2].device, "cpu (3 threads)");
    ++num_told;
    return absl::OkStatus();
  });
  EXPECT_TRUE(result.ok()) << result;
  EXPECT_EQ(num_told, 3);
}

TEST(WorkerPlaceTest, TheTableGivesEveryImageToOneRank) {
  const std::vector<WorkerPlace> workers = {{"node-1", 7, "cpu"}, {"node-1", 8, "cuda:1 H100"}, {"b", 123456, "cpu"}};
  EXPECT_EQ(WorkerTable(workers, 8), (std::vector<std::string>{" rank  host     process  device       images of a step",
                                                               "    0  node-1         7  cpu          0 to 1",
                                                               "    1  node-1         8  cuda:1 H100  2 to 4",
                                                               "    2  b         123456  cpu          5 to 7"}));
  EXPECT_EQ(WorkerTable(workers, 1)[1], "    0  node-1         7  cpu          none");
}

}  // namespace
}  // namespace trireme

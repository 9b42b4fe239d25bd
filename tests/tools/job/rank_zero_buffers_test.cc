#include "tools/job/rank_zero_buffers.h"

#include <gtest/gtest.h>

#include "tests/parallel/strategies/toy_model.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

TEST(RankZeroBuffersTest, AllHaveThemForAsLongAsTheWorkTakes) {
  for (const int world : {1, 2, 3}) {
    for (const Status& outcome : {absl::OkStatus(), absl::DataLossError("an image")}) {
      const Status status = RunJob(world, [&](Communicator& communicator, Device& device) -> Status {
        ToyModel model;
        TRIREME_ASSIGN_OR_RETURN(const auto arena, ParameterArena::Build(&model, device, world, 5));
        const Tensor& running = arena->buffers()[0]->value;
        const std::vector<float> own(3, 7 + static_cast<float>(communicator.rank()));
        running.CopyFromHost(own.data());
        bool worked = false;
        EXPECT_EQ(WithBuffersOfRankZero(*arena, communicator,
                                        [&] {
                                          worked = true;
                                          EXPECT_EQ(running.ToVector<float>(), std::vector<float>(3, 7.0f));
                                          return outcome;
                                        }),
                  outcome);
        EXPECT_TRUE(worked);
        EXPECT_EQ(running.ToVector<float>(), own);
        return absl::OkStatus();
      });
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

}  // namespace
}  // namespace trireme

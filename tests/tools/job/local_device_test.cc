#include "tools/job/local_device.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

TEST(LocalDeviceTest, EveryProcessTakesItsOwnGpu) {
  ProcessRank place;
  place.rank = 5;
  place.world_size = 8;
  place.local_rank = 1;
  EXPECT_EQ(*ChooseLocalDevice("cuda", {}, place, 4), "cuda:1");
  EXPECT_EQ(*ChooseLocalDevice("auto", {}, place, 2), "cuda:1");
  // What is named is taken, and there is nothing to choose where there is one or none.
  EXPECT_EQ(*ChooseLocalDevice("cuda:0", {}, place, 4), "cuda:0");
  EXPECT_EQ(*ChooseLocalDevice("cpu", {}, place, 4), "cpu");
  EXPECT_EQ(*ChooseLocalDevice("auto", {}, place, 1), "auto");
  EXPECT_EQ(*ChooseLocalDevice("auto", {}, place, 0), "auto");
  EXPECT_EQ(*ChooseLocalDevice("cuda", {}, std::nullopt, 4), "cuda");
}

TEST(LocalDeviceTest, MoreProcessesThanGpusAreRefused) {
  ProcessRank place;
  place.rank = place.local_rank = 2;
  place.world_size = 3;
  const Status status = ChooseLocalDevice("auto", {}, place, 2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(std::string(status.message()).find("rank 2 is process 3"), std::string::npos) << status;
}

TEST(LocalDeviceTest, ListedGpusGoToRanksInTheirOrder) {
  ProcessRank place;
  place.rank = 5;
  place.world_size = 8;
  place.local_rank = 1;
  EXPECT_EQ(*ChooseLocalDevice("auto", {2, 0}, place, 4), "cuda:0");
  EXPECT_EQ(*ChooseLocalDevice("cuda", {1, 3}, place, 4), "cuda:3");
  EXPECT_EQ(*ChooseLocalDevice("auto", {3}, std::nullopt, 4), "cuda:3");
  const auto refusal = [&](const std::string& name, const std::vector<int>& devices, int num_gpus) {
    const Status status = ChooseLocalDevice(name, devices, place, num_gpus).status();
    EXPECT_FALSE(status.ok()) << name;
    return std::string(status.message());
  };
  setenv("CUDA_VISIBLE_DEVICES", "4,5", 1);
  EXPECT_NE(refusal("auto", {0, 2}, 2)
                .find("GPU 2, but this build finds 2 on this machine among those of "
                      "CUDA_VISIBLE_DEVICES=4,5"),
            std::string::npos);
  EXPECT_NE(refusal("auto", {0}, 2).find("rank 5 is process 2 on this machine, which has 1 GPUs for this job"),
            std::string::npos);
  EXPECT_NE(refusal("cpu", {0, 1}, 2).find("leave one of them out"), std::string::npos);
  EXPECT_NE(refusal("auto", {1, 1}, 2).find("different GPUs"), std::string::npos);
  EXPECT_NE(refusal("auto", {-1, 1}, 2).find("different GPUs"), std::string::npos);
  EXPECT_EQ(ChooseLocalDevice("auto", {0, 1}, std::nullopt, 2).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LocalDeviceTest, SaysWhatAutoTookAndWhy) {
  const auto device = *MakeDevice("cpu", 2);
  EXPECT_EQ(WhyThisDevice("cpu", *device), "");
  if (NumGpus() > 0) return;
  const std::string why = WhyThisDevice("auto", *device);
  EXPECT_EQ(why.find("device auto: cpu (2 threads), for there is no GPU to take (cuda:0: "), 0u) << why;
}

}  // namespace
}  // namespace trireme

#include "tests/parallel/communicator/conformance.h"

#include "tests/core/testing/devices.h"
#include "tests/parallel/testing/gloo_jobs.h"
#include "tests/parallel/testing/jobs.h"
#include "tests/parallel/testing/nccl_jobs.h"

namespace trireme::conformance {

void ConformanceTest::Run(const std::function<void(Communicator&, Device&, Stream&)>& worker) {
  const auto with_stream = [&](Communicator& communicator, Device& device) {
    std::unique_ptr<Stream> own;
    if (place().own_stream) own = device.NewStream("test");
    worker(communicator, device, own ? *own : device.compute_stream());
    return communicator.status();
  };
  if (place().kind == "nccl") {
    testing::NcclJobSetup nccl;
    nccl.seed = place().seed;
    for (const Status& status : testing::NcclTestJob().Run(world(), nccl, with_stream)) {
      EXPECT_TRUE(status.ok()) << status;
    }
    return;
  }
  Status status;
  if (place().kind == "nccl itself") {
    if (world() > 1) GTEST_SKIP() << "NCCL needs a GPU for each rank";
    const auto device = TestDevice("cuda");
    const auto communicator = MakeNcclCommunicator(**SystemNccl(), std::make_shared<MemoryStore>(), {});
    status = with_stream(*communicator, *device);
  } else if (place().kind == "asynchronous") {
    status = RunAsyncJob(world(), place().seed, with_stream);
  } else if (place().kind == "gloo") {
    status = RunGlooJob(world(), [&](Communicator& communicator) {
      const auto device = TestDevice();
      return with_stream(communicator, *device);
    });
  } else {
    status = RunJob(world(), with_stream, 60, place().kind);
  }
  EXPECT_TRUE(status.ok()) << status;
}

namespace {

std::vector<Place> Places() {
  std::vector<Place> places = {{"Inline", "cpu"}, {"Thread", "cpu", true},
                               {"Gloo", "gloo"},  {"GlooStream", "gloo", true},
                               {"Nccl", "nccl"},  {"NcclStream", "nccl", true}};
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    places.push_back({"Asynchronous" + std::to_string(seed), "asynchronous", false, seed});
    places.push_back({"AsynchronousStream" + std::to_string(seed), "asynchronous", true, seed});
  }
  if (testing::TestDevices().size() > 1) {
    places.push_back({"Cuda", "cuda"});
    places.push_back({"CudaStream", "cuda", true});
    places.push_back({"NcclItself", "nccl itself"});
  }
  return places;
}

INSTANTIATE_TEST_SUITE_P(Communicators, ConformanceTest,
                         ::testing::Combine(::testing::Range(1, 6), ::testing::ValuesIn(Places())),
                         [](const auto& info) {
                           return std::get<1>(info.param).name + "Ranks" + std::to_string(std::get<0>(info.param));
                         });

}  // namespace
}  // namespace trireme::conformance

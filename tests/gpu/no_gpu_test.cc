// What the tools say where there is no GPU to use: in the build without CUDA, and in a CUDA build without a driver or
// with one that is too old. The CUDA build's part runs in CI too, where there is no GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "core/device/device.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

#ifdef TRIREME_CUDA
constexpr bool kCudaBuild = true;
#else
constexpr bool kCudaBuild = false;
#endif

ToolResult TrainOnCuda() {
  return RunToolProcess("train", {"--config=" + TinyConfig(), "--device=cuda", "--out=" + NewFolder("run")});
}

void ExpectOneSentence(const ToolResult& result) {
  EXPECT_EQ(result.exit_code, 2) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("train: cuda:0"), HasSubstr("--device=cpu"), Not(HasSubstr("Check failed"))));
  EXPECT_EQ(result.output.find('\n'), result.output.size() - 1) << result.output;
}

TEST(NoGpu, IsOneSentence) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);  // where there is one
  const ToolResult result = TrainOnCuda();
  ExpectOneSentence(result);
  EXPECT_THAT(result.output, HasSubstr(kCudaBuild ? "cuda:0: " : "build with --config=cuda"));
}

TEST(NoGpu, ADriverThatIsTooOldIsOneSentence) {
  if (!kCudaBuild) GTEST_SKIP() << "a build without CUDA asks no driver";
  // Stands in for a driver that serves CUDA 12.0.
  const std::string folder = (std::filesystem::current_path() / "tests/gpu/old_driver").string();
  ASSERT_TRUE(std::filesystem::exists(folder + "/libcuda.so.1")) << folder;
  setenv("LD_LIBRARY_PATH", folder.c_str(), 1);
  const ToolResult result = TrainOnCuda();
  ExpectOneSentence(result);
  EXPECT_THAT(result.output, AllOf(HasSubstr("serves CUDA 12.0"), HasSubstr("update the driver")));
}

}  // namespace
}  // namespace trireme

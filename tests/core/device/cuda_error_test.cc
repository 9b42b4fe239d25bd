// Of error codes only: needs no GPU and no driver.
#include "core/device/cuda/cuda_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#ifdef TRIREME_CUDA

#include "core/device/cuda/cuda_probe.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Code = absl::StatusCode;

const CudaPlace kPlace = {"cuda:1", "7.5", "9.0, 10.0", /*served=*/false, /*ignored=*/""};

std::string Message(const Status& status) { return std::string(status.message()); }
Status Of(cudaError_t error) { return StatusOfCuda(error, "copying", kPlace); }

TEST(StatusOfCudaTest, SuccessIsOk) {
  EXPECT_TRUE(Of(cudaSuccess).ok());
  EXPECT_TRUE(StatusOfCudnn(CUDNN_STATUS_SUCCESS, "", "", kPlace).ok());
  EXPECT_TRUE(StatusOfCublas(CUBLAS_STATUS_SUCCESS, "", kPlace).ok());
}

TEST(StatusOfCudaTest, SaysWhatWhereAndWhatToDo) {
  const struct {
    cudaError_t error;
    Code code;
    const char* advice;
  } cases[] = {
      {cudaErrorMemoryAllocation, Code::kResourceExhausted, "lower the batch size"},
      {cudaErrorNoDevice, Code::kFailedPrecondition, "--device=cpu"},
      {cudaErrorInsufficientDriver, Code::kFailedPrecondition, "update the driver"},
      {cudaErrorSystemDriverMismatch, Code::kFailedPrecondition, "update the driver"},
      {cudaErrorDevicesUnavailable, Code::kFailedPrecondition, "nvidia-smi"},
      {cudaErrorIllegalAddress, Code::kInternal, "--resume"},
      {cudaErrorLaunchFailure, Code::kInternal, "compute-sanitizer"},
      {cudaErrorMisalignedAddress, Code::kInternal, "--resume"},
      {cudaErrorLaunchTimeout, Code::kInternal, "--resume"},
      {cudaErrorECCUncorrectable, Code::kUnavailable, "another device"},
      {cudaErrorNvlinkUncorrectable, Code::kUnavailable, "nvidia-smi"},
      {cudaErrorUnknown, Code::kUnavailable, "is gone"},
      {cudaErrorStreamCaptureUnjoined, Code::kFailedPrecondition, "captured"},
      {cudaErrorCapturedEvent, Code::kFailedPrecondition, "captured"},
      {cudaErrorInvalidValue, Code::kInternal, "cudaErrorInvalidValue"},
  };
  for (const auto& c : cases) {
    const Status status = Of(c.error);
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("copying failed on cuda:1: "), HasSubstr(cudaGetErrorName(c.error)),
                                       HasSubstr(c.advice)));
  }
}

TEST(StatusOfCudaTest, AWrongArchitectureNamesTheDevicesAndTheBuilds) {
  for (const cudaError_t error :
       {cudaErrorNoKernelImageForDevice, cudaErrorUnsupportedPtxVersion, cudaErrorInvalidDeviceFunction}) {
    EXPECT_EQ(Of(error).code(), Code::kFailedPrecondition);
    EXPECT_THAT(Message(Of(error)), HasSubstr("compute capability 7.5, and this build holds code for 9.0, 10.0;"));
  }
}

TEST(StatusOfCudaTest, WhereTheDriverIsToldToIgnoreTheCodeThatIsTheReason) {
  const CudaPlace place = {"cuda:1", "9.0", "9.0", /*served=*/false, IgnoredCode("1", "1")};
  const std::string message = Message(StatusOfCuda(cudaErrorNoKernelImageForDevice, "copying", place));
  EXPECT_THAT(message, HasSubstr("compute capability 9.0, and this build holds code for 9.0, of which the environment "
                                 "has the driver ignore its machine code (CUDA_FORCE_PTX_JIT=1) and its PTX "
                                 "(CUDA_DISABLE_PTX_JIT=1); unset that; build for it"));
  EXPECT_EQ(IgnoredCode("1", "0"), "its machine code (CUDA_FORCE_PTX_JIT=1)");
  EXPECT_EQ(IgnoredCode(nullptr, "1"), "its PTX (CUDA_DISABLE_PTX_JIT=1)");
  EXPECT_EQ(IgnoredCode("", nullptr), "");
  setenv("CUDA_DISABLE_PTX_JIT", "1", 1);
  EXPECT_THAT(CurrentCudaPlace().ignored, HasSubstr("its PTX (CUDA_DISABLE_PTX_JIT=1)"));
  unsetenv("CUDA_DISABLE_PTX_JIT");
  EXPECT_EQ(CurrentCudaPlace().ignored, IgnoredCode(getenv("CUDA_FORCE_PTX_JIT"), nullptr));
}

TEST(StatusOfCudaTest, TheBuildKnowsWhatItHolds) {
  EXPECT_EQ(CapabilitiesOf("900"), "9.0");
  EXPECT_EQ(CapabilitiesOf("750,860, 1000,1200"), "7.5, 8.6, 10.0, 12.0");
  EXPECT_EQ(CapabilitiesOf(""), "");
  EXPECT_THAT(CurrentCudaPlace().built_for, HasSubstr("."));
}

TEST(StatusOfLibrariesTest, SayWhatToDo) {
  const Status mixed = StatusOfCudnn(CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH, "starting cuDNN", "found 9.1", kPlace);
  EXPECT_EQ(mixed.code(), Code::kFailedPrecondition);
  EXPECT_THAT(Message(mixed),
              AllOf(HasSubstr("SUBLIBRARY_VERSION_MISMATCH"), HasSubstr("found 9.1"), HasSubstr("LD_LIBRARY_PATH")));
  EXPECT_EQ(StatusOfCudnn(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, "", "", kPlace).code(),
            Code::kResourceExhausted);
  EXPECT_EQ(StatusOfCudnn(CUDNN_STATUS_BAD_PARAM, "", "", kPlace).code(), Code::kInternal);
  EXPECT_EQ(StatusOfCublas(CUBLAS_STATUS_ALLOC_FAILED, "", kPlace).code(), Code::kResourceExhausted);
  EXPECT_EQ(StatusOfCublas(CUBLAS_STATUS_ARCH_MISMATCH, "", kPlace).code(), Code::kFailedPrecondition);
  EXPECT_THAT(Message(StatusOfCublas(CUBLAS_STATUS_INVALID_VALUE, "multiplying", kPlace)),
              HasSubstr("multiplying failed on cuda:1"));
}

TEST(CheckInventoryTest, SaysWhatIsMissing) {
  CudaInventory inventory;
  inventory.runtime_version = 13000;
  const auto message = [&](int index) { return Message(CheckInventory(inventory, index)); };
  inventory.error = cudaErrorInsufficientDriver;
  EXPECT_THAT(message(0), AllOf(HasSubstr("has no NVIDIA driver"), HasSubstr("CUDA 13.0"), HasSubstr("--device=cpu")));
  inventory.driver_version = 12040;
  EXPECT_THAT(message(0), AllOf(HasSubstr("serves CUDA 12.4"), HasSubstr("update the driver")));
  inventory.error = cudaErrorNoDevice;
  EXPECT_THAT(message(0), AllOf(HasSubstr("has no CUDA device"), HasSubstr("CUDA_VISIBLE_DEVICES")));
  inventory.error = cudaErrorSystemNotReady;
  EXPECT_THAT(message(2), AllOf(HasSubstr("cuda:2"), HasSubstr("nvidia-smi")));
  inventory.error = cudaSuccess;
  EXPECT_THAT(message(0), HasSubstr("has no CUDA device"));
  inventory.count = 1;
  EXPECT_TRUE(CheckInventory(inventory, 0).ok());
  EXPECT_EQ(message(1), "there is no cuda:1; this machine has cuda:0 only");
  inventory.count = 4;
  EXPECT_EQ(message(4), "there is no cuda:4; this machine has cuda:0 to cuda:3");
  EXPECT_EQ(CheckInventory(inventory, 4).code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace trireme

#endif  // TRIREME_CUDA

// Every function on a device whose work runs later, in an order that only streams and events bind: what touches
// memory at once instead of in stream order, or outlives its memory, shows as bits that differ from the CPU's.
#include <gtest/gtest.h>

#include "tests/core/ops/op_cases.h"
#include "tests/core/testing/async_device.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

class OpAsync : public ::testing::TestWithParam<testing::OpCase> {};

TEST_P(OpAsync, GivesTheBitsOfTheCpu) {
  const auto cpu = testing::NewTestDevice("cpu", 1);
  for (const DataType type : {DataType::kFloat32, DataType::kBfloat16}) {
    if (GetParam().float32 && type != DataType::kFloat32) continue;
    const testing::OpResult expected = testing::RunOp(GetParam(), *cpu, type);
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      testing::AsyncDeviceOptions options;
      options.seed = seed;
      const auto device = testing::MakeAsyncDevice(options);
      device->BindToThisThread();
      const testing::OpResult actual = testing::RunOp(GetParam(), *device, type);
      EXPECT_EQ(actual.output, expected.output) << DataTypeName(type) << ", seed " << seed;
      EXPECT_EQ(actual.gradients, expected.gradients) << DataTypeName(type) << ", seed " << seed;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, OpAsync, ::testing::ValuesIn(testing::OpCases()),
                         [](const ::testing::TestParamInfo<testing::OpCase>& info) { return info.param.name; });

}  // namespace
}  // namespace trireme

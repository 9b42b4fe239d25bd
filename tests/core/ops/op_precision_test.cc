// Every function in every floating-point type, on every device and with several threads, against itself in float32 on
// one thread of the CPU, whose definition and gradients its own test checks.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

#include "tests/core/ops/op_cases.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

using testing::OpCase;
using testing::OpResult;

struct Setup {
  std::string device;
  int threads;
};

std::vector<Setup> Setups() {
  std::vector<Setup> setups = {{"cpu", 1}, {"cpu", 2}};
  for (const std::string& device : testing::TestDevices()) {
    if (device != "cpu") setups.push_back({device, 1});
  }
  return setups;
}

using Parameters = std::tuple<Setup, DataType, OpCase>;

class OpPrecision : public ::testing::TestWithParam<Parameters> {};

// Made once, since pages are slow to come; its free memory is poisoned anew.
Device& SharedDevice(const Setup& setup) {
  static auto* devices = new std::map<std::string, std::unique_ptr<Device>>();
  std::unique_ptr<Device>& device = (*devices)[setup.device + std::to_string(setup.threads)];
  if (device == nullptr) device = testing::NewTestDevice(setup.device, setup.threads);
  device->BindToThisThread();
  testing::PoisonFreeMemory(*device, 1 << 18);
  return *device;
}

// `roundoff` is by how much rounding may be off, relatively; `arithmetic` what float32 may lose on the way, of the
// largest value.
void ExpectClose(const std::vector<float>& actual, const std::vector<float>& expected, double roundoff,
                 double arithmetic, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  double largest = 1;
  for (const float value : expected) largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (size_t i = 0; i < actual.size(); ++i) {
    // Half of float16's spacing near zero.
    const double tolerance =
        roundoff * std::abs(expected[i]) + (roundoff > 0 ? std::ldexp(1.0, -25) : 0) + arithmetic * largest;
    ASSERT_NEAR(actual[i], expected[i], tolerance) << what << ", element " << i;
  }
}

TEST_P(OpPrecision, EqualsFloat32UpToRounding) {
  const auto& [setup, type, op] = GetParam();
  if (op.float32 && type != DataType::kFloat32) GTEST_SKIP() << "takes float32 alone";
  const OpResult expected = testing::RunOp(op, SharedDevice({"cpu", 1}), DataType::kFloat32);
  const OpResult actual = testing::RunOp(op, SharedDevice(setup), type);

  const double unit = type == DataType::kBfloat16 ? 0x1p-8 : type == DataType::kFloat16 ? 0x1p-11 : 0;
  // Casts round float32, too.
  const bool is_cast = op.name.rfind("Cast_", 0) == 0;
  const double roundoff = is_cast ? 0x1p-8 : unit;
  // In float32 the CPU's bits do not depend on its threads. The compiler may fuse other multiplications with additions
  // for each type.
  const double arithmetic = setup.device == "cpu" && type == DataType::kFloat32 ? 0 : 2e-6;
  ExpectClose(actual.output, expected.output, roundoff, arithmetic, "output");
  ASSERT_EQ(actual.gradients.size(), expected.gradients.size());
  for (size_t k = 0; k < expected.gradients.size(); ++k) {
    ExpectClose(actual.gradients[k], expected.gradients[k], op.inputs[k].float32 ? 0 : roundoff, arithmetic,
                "gradient of input " + std::to_string(k));
  }
}

std::string NameOf(const ::testing::TestParamInfo<Parameters>& info) {
  const auto& [setup, type, op] = info.param;
  return setup.device + "_" + std::to_string(setup.threads) + "_" + DataTypeName(type) + "_" + op.name;
}

INSTANTIATE_TEST_SUITE_P(Ops, OpPrecision,
                         ::testing::Combine(::testing::ValuesIn(Setups()),
                                            ::testing::Values(DataType::kFloat32, DataType::kBfloat16,
                                                              DataType::kFloat16),
                                            ::testing::ValuesIn(testing::OpCases())),
                         NameOf);

}  // namespace
}  // namespace trireme

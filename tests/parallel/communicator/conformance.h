// What every communicator has to do, over implementations, world sizes, streams, sizes and element types: the suite and
// what its tests have in common. They are in *_conformance_test.cc.
#ifndef TRIREME_TESTS_PARALLEL_COMMUNICATOR_CONFORMANCE_H_
#define TRIREME_TESTS_PARALLEL_COMMUNICATOR_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/api/communicator.h"
#include "core/device/device.h"
#include "core/tensor/floating.h"
#include "core/tensor/tensor.h"

namespace trireme::conformance {

// A communicator on some kind of device, and on its compute stream or another.
struct Place {
  std::string name;
  std::string kind;  // cpu, cuda, asynchronous, gloo, nccl (a fake), nccl itself
  bool own_stream = false;
  uint64_t seed = 1;  // of asynchronous devices

  // Calls of two communicators may be made in another order on each rank.
  bool any_order() const { return kind == "cpu" || kind == "gloo"; }
  // How a communicator's library adds is its own business.
  bool in_rank_order() const { return kind.rfind("nccl", 0) != 0 && kind != "gloo"; }
};

class ConformanceTest : public ::testing::TestWithParam<std::tuple<int, Place>> {
 protected:
  int world() const { return std::get<0>(GetParam()); }
  const Place& place() const { return std::get<1>(GetParam()); }

  // Runs `worker` on all ranks and waits for the stream that it was given.
  void Run(const std::function<void(Communicator&, Device&, Stream&)>& worker);
};

inline constexpr int64_t kSizes[] = {0, 1, 2, 7, 61, 1009, 1024, 1025, 20011};

template <class T>
T Element(double value) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    return FromFloat<T>(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
double ToDouble(T value) {
  if constexpr (std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>) {
    return ToFloat(value);
  } else {
    return static_cast<double>(value);
  }
}

template <class T>
std::vector<double> Read(const Tensor& tensor) {
  std::vector<double> values;
  for (const T& value : tensor.ToVector<T>()) values.push_back(ToDouble(value));
  return values;
}

// Different on every rank; small integers, so that sums are exact.
inline double ValueAt(int rank, int64_t i) { return static_cast<double>((i * 7 + rank * 13) % 31); }

// There when it returns: the calls under test run on streams that no event orders after the fill.
inline Tensor Zeros(Device& device, const Shape& shape, DataType type = DataType::kFloat32) {
  const Tensor tensor = Tensor::Zeros(device, shape, type);
  device.compute_stream().Synchronize();
  return tensor;
}

template <class T>
std::vector<T> Values(int rank, int64_t size) {
  std::vector<T> values(size);
  for (int64_t i = 0; i < size; ++i) values[i] = Element<T>(ValueAt(rank, i));
  return values;
}

inline double Combined(int world, int64_t i, ReduceOperation operation) {
  double result = 0;
  for (int rank = 0; rank < world; ++rank) {
    const double value = ValueAt(rank, i);
    result = operation == ReduceOperation::kSum ? result + value : std::max(result, value);
  }
  return result;
}

}  // namespace trireme::conformance

#endif  // TRIREME_TESTS_PARALLEL_COMMUNICATOR_CONFORMANCE_H_

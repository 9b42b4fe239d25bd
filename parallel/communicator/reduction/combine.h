// How two elements become one in a reduction, the same for host and device: 16-bit types are added as float32, and
// rounded once, when all ranks are in; sums of integers wrap.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_REDUCTION_COMBINE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_REDUCTION_COMBINE_H_

#include <cstdint>
#include <type_traits>

#include "core/api/communicator.h"
#include "core/base/host_device.h"
#include "core/tensor/floating.h"

namespace trireme {

// What elements of type T are combined as.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>, float, T>;

template <class T>
TRIREME_HD inline Wide<T> Widen(T value) {
  if constexpr (std::is_same_v<Wide<T>, T>) {
    return value;
  } else {
    return ToFloat(value);
  }
}

template <class T>
TRIREME_HD inline T Narrow(Wide<T> value) {
  if constexpr (std::is_same_v<Wide<T>, T>) {
    return value;
  } else {
    return FromFloat<T>(value);
  }
}

struct SumOf {
  template <class W>
  TRIREME_HD W operator()(W a, W b) const {
    if constexpr (std::is_integral_v<W>) {
      using Unsigned = std::make_unsigned_t<W>;
      return static_cast<W>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
    } else {
      return a + b;
    }
  }
};

struct MaxOf {
  template <class W>
  TRIREME_HD W operator()(W a, W b) const {
    return a < b ? b : a;
  }
};

// Calls function(T(), SumOf()) or function(T(), MaxOf()).
template <class Function>
void DispatchReduction(DataType type, ReduceOperation operation, const Function& function) {
  const auto with = [&](auto element) {
    if (operation == ReduceOperation::kSum) {
      function(element, SumOf());
    } else {
      function(element, MaxOf());
    }
  };
  switch (type) {
    case DataType::kFloat32:
      return with(float());
    case DataType::kFloat64:
      return with(double());
    case DataType::kBfloat16:
      return with(bfloat16());
    case DataType::kFloat16:
      return with(float16());
    case DataType::kInt32:
      return with(int32_t());
    case DataType::kInt64:
      return with(int64_t());
    case DataType::kUint8:
      break;
  }
  LOG(FATAL) << "a tensor of " << DataTypeName(type) << " cannot be reduced";
}

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_REDUCTION_COMBINE_H_

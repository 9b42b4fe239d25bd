// The small kernels of a parameter server.
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_PUSH_SUM_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_PUSH_SUM_H_

#include <cstdint>
#include <vector>

#include "core/api/optimizer.h"
#include "core/tensor/tensor.h"

namespace trireme {

// The sources' addresses are arguments of one kernel.
inline constexpr int kMaxPushSources = 64;

// to[i] = sources[0][i] + sources[1][i] + ..., added in this order, in order of `stream`. `to` may be one of them.
// float32, of one size.
void SumInOrder(const std::vector<Tensor>& sources, const Tensor& to, Stream& stream);

// What a guard has decided, as something to send: uint8 [kPushControlBytes].
inline constexpr int64_t kPushControlBytes = 8;
void WriteControl(const UpdateControl& control, const Tensor& to, Stream& stream);
// The same for an update to read. The tensor outlives it.
UpdateControl ControlIn(const Tensor& written);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_PUSH_SUM_H_

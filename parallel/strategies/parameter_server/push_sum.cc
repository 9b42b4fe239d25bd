#include "parallel/strategies/parameter_server/push_sum.h"

#include <glog/logging.h>

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

struct Sources {
  const float* at[kMaxPushSources];
  int count;
};

}  // namespace

void SumInOrder(const std::vector<Tensor>& sources, const Tensor& to, Stream& stream) {
  CHECK(!sources.empty() && sources.size() <= kMaxPushSources) << sources.size();
  Sources from;
  from.count = static_cast<int>(sources.size());
  for (int k = 0; k < from.count; ++k) {
    CHECK_EQ(sources[static_cast<size_t>(k)].size(), to.size());
    from.at[k] = sources[static_cast<size_t>(k)].data<float>();
  }
  float* sum = to.data<float>();
  ParallelFor(stream, to.size(), [=] TRIREME_HD(int64_t i) {
    float total = from.at[0][i];
    for (int k = 1; k < from.count; ++k) total += from.at[k][i];
    sum[i] = total;
  });
}

void WriteControl(const UpdateControl& control, const Tensor& to, Stream& stream) {
  CHECK_EQ(to.bytes(), kPushControlBytes);
  const UpdateControl written = ControlIn(to);
  float* multiplier = const_cast<float*>(written.gradient_multiplier);
  int32_t* apply = const_cast<int32_t*>(written.apply);
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    *multiplier = control.gradient_multiplier == nullptr ? 1.0f : *control.gradient_multiplier;
    *apply = control.apply == nullptr ? 1 : *control.apply;
  });
}

UpdateControl ControlIn(const Tensor& written) {
  char* bytes = static_cast<char*>(written.raw());
  return {reinterpret_cast<const float*>(bytes), reinterpret_cast<const int32_t*>(bytes + sizeof(float))};
}

}  // namespace trireme

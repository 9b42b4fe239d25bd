// A config's precision, as functions are told it.
#ifndef TRIREME_TOOLS_JOB_PRECISION_H_
#define TRIREME_TOOLS_JOB_PRECISION_H_

#include "core/autograd/context.h"
#include "core/config/config.pb.h"

namespace trireme {

inline Precision PrecisionOf(const Config& config) {
  switch (config.precision()) {
    case Config::FP32:
      return Precision::kFloat32;
    case Config::TF32:
      return Precision::kTf32;
    case Config::BF16:
      return Precision::kBfloat16;
    case Config::FP16:
      return Precision::kFloat16;
  }
  return Precision::kFloat32;
}

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_PRECISION_H_

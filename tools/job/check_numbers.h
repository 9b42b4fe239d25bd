// What a config's numbers have to be, whatever its components.
#ifndef TRIREME_TOOLS_JOB_CHECK_NUMBERS_H_
#define TRIREME_TOOLS_JOB_CHECK_NUMBERS_H_

#include "core/base/status.h"
#include "core/config/config.pb.h"

namespace trireme {

// InvalidArgument names the field, its value and what it may be.
Status CheckNumbers(const Config& config);

// Those alone that a trained model's use reads: a checkpoint may be of a version that took others.
Status CheckNumbersOfUse(const Config& config);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_CHECK_NUMBERS_H_

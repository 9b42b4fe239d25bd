// What Gloo's connections of a process go through.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_DEVICE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_DEVICE_H_

#include <gloo/transport/device.h>

#include <memory>
#include <string>

#include "core/base/status.h"

namespace trireme {

// `listen_on` is an address of this machine, or the name of a network interface. No other holds the device until it is
// given up; then it is kept for the next who asks, with its thread. Makes the process ignore SIGPIPE, unless it handles
// it. Any thread.
StatusOr<std::shared_ptr<gloo::transport::Device>> OpenGlooDevice(const std::string& listen_on);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_DEVICE_H_

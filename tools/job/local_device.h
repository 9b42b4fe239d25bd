// Which GPU a worker takes when its config leaves that open.
#ifndef TRIREME_TOOLS_JOB_LOCAL_DEVICE_H_
#define TRIREME_TOOLS_JOB_LOCAL_DEVICE_H_

#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/config/config.pb.h"
#include "core/device/device.h"
#include "parallel/launch/process_rank.h"

namespace trireme {

// Where workers are processes, "cuda" and "auto" mean the GPU of the process's local rank: of `devices`, the GPUs that
// the config lists, or else of all. FailedPrecondition if there are fewer, InvalidArgument for a list that cannot be
// meant. Threads of one process share a GPU. All other names are what they are.
StatusOr<std::string> ChooseLocalDevice(const std::string& name, const std::vector<int>& devices,
                                        const std::optional<ProcessRank>& place, int num_gpus);

// The same for this process and this machine.
StatusOr<std::string> DeviceOfThisProcess(const Config& config);

// Why `device` was taken, in a line for people, where the config left it to "auto"; else empty.
std::string WhyThisDevice(const std::string& asked, const Device& device);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_LOCAL_DEVICE_H_

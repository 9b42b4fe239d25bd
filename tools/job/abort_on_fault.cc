#include "tools/job/abort_on_fault.h"

#include "core/base/catch_exceptions.h"
#include "core/device/device.h"

namespace trireme {

Status AbortOnFault(Communicator& communicator, const std::function<Status()>& work) {
  const Status status = CatchExceptions("a component", [&] { return CatchDeviceError(work); });
  if (!status.ok() && !absl::IsCancelled(status)) communicator.Abort(status);
  return status;
}

}  // namespace trireme

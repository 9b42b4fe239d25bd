#include "core/train/serve.h"

#include "absl/strings/str_cat.h"

namespace trireme {
namespace {

Status Serve(const ServeParts& parts) {
  // A stop in the evaluation of a step comes after its checkpoint, if it has one.
  int64_t saved = parts.first_step;
  for (int64_t done = parts.first_step; done < parts.total_steps;) {
    TRIREME_ASSIGN_OR_RETURN(const Interruption interruption, parts.strategy->Serve());
    done = interruption.steps_done;
    if (interruption.checkpoint || (interruption.stop && saved != done)) {
      TRIREME_RETURN_IF_ERROR(parts.save_checkpoint(done));
      saved = done;
    }
    if (interruption.stop && done < parts.total_steps) {
      return absl::CancelledError(absl::StrCat("stopped after step ", done, " of ", parts.total_steps));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Status ServeWorkers(const ServeParts& parts) {
  const Status status = CatchDeviceError([&] { return Serve(parts); });
  if (!status.ok() && !absl::IsCancelled(status)) parts.communicator->Abort(status);
  return status;
}

}  // namespace trireme

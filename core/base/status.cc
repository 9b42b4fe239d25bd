#include "core/base/status.h"

namespace trireme {
namespace {

constexpr char kToldElsewhere[] = "trireme/told-elsewhere";

}  // namespace

Status Annotate(const Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

int ExitCode(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
      return 2;
    default:
      return 1;
  }
}

Status ToldElsewhere(Status status) {
  status.SetPayload(kToldElsewhere, absl::Cord());
  return status;
}

bool IsToldElsewhere(const Status& status) { return status.GetPayload(kToldElsewhere).has_value(); }

}  // namespace trireme

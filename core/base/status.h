// Errors of the world (a config, a file, an image, a peer) travel as absl::Status; errors of the
// programmer stop the process through glog's CHECK.
//
// A message says what went wrong, where (file:line when there is one) and what to do about it. The
// code decides the exit status of a tool: see ExitCode.
#ifndef TRIREME_CORE_BASE_STATUS_H_
#define TRIREME_CORE_BASE_STATUS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace trireme {

using absl::Status;
using absl::StatusOr;

// The same status with `context` before its message: "context: message". OK stays OK.
Status Annotate(const Status& status, absl::string_view context);

template <class T>
StatusOr<T> Annotate(StatusOr<T> result, absl::string_view context) {
  if (result.ok()) return result;
  return Annotate(result.status(), context);
}

// 0 for OK, 2 where the user's own input is wrong (invalid argument, not found, out of range,
// failed precondition, already exists), 1 for everything else the world does wrong.
int ExitCode(const Status& status);

// The same error, marked as one that another process tells the user: a tool ends with its exit code and says nothing.
Status ToldElsewhere(Status status);
bool IsToldElsewhere(const Status& status);

}  // namespace trireme

#define TRIREME_RETURN_IF_ERROR(expression)            \
  do {                                                 \
    ::absl::Status trireme_status_ = (expression);     \
    if (!trireme_status_.ok()) return trireme_status_; \
  } while (false)

#define TRIREME_STATUS_CONCAT_(a, b) a##b
#define TRIREME_STATUS_CONCAT(a, b) TRIREME_STATUS_CONCAT_(a, b)

// TRIREME_ASSIGN_OR_RETURN(auto x, MakeX());
#define TRIREME_ASSIGN_OR_RETURN(declaration, expression) \
  TRIREME_ASSIGN_OR_RETURN_(TRIREME_STATUS_CONCAT(trireme_status_or_, __LINE__), declaration, expression)
#define TRIREME_ASSIGN_OR_RETURN_(holder, declaration, expression) \
  auto holder = (expression);                                      \
  if (!holder.ok()) return holder.status();                        \
  declaration = *std::move(holder)

#endif  // TRIREME_CORE_BASE_STATUS_H_

// Where code that is not ours is called. Trireme's own functions report faults by a status; a plugin's may call
// libraries that throw, and an exception that nobody catches would end the process without a word of where it came
// from.
#ifndef TRIREME_CORE_BASE_CATCH_EXCEPTIONS_H_
#define TRIREME_CORE_BASE_CATCH_EXCEPTIONS_H_

#include <exception>
#include <new>
#include <stdexcept>

#include "core/base/status.h"

namespace trireme {

// ResourceExhausted, for whoever caught std::bad_alloc, or the std::length_error of a container that was asked for more
// than can be addressed.
inline Status NoHostMemory() {
  return absl::ResourceExhaustedError(
      "this machine is out of main memory; lower the batch size, the image size or loader.prefetch, or make the model "
      "smaller");
}

// What `work` returns, a Status or a StatusOr. What it throws becomes a status that begins with `what`, which threw it:
// NoHostMemory, else Internal. Device errors are to be caught within (see core/device/device.h).
template <class Work>
auto CatchExceptions(absl::string_view what, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Annotate(NoHostMemory(), what);
  } catch (const std::length_error&) {
    return Annotate(NoHostMemory(), what);
  } catch (const std::exception& exception) {
    return absl::InternalError(absl::StrCat(what, " threw an exception: ", exception.what()));
  } catch (...) {
    return absl::InternalError(absl::StrCat(what, " threw what is no std::exception"));
  }
}

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_CATCH_EXCEPTIONS_H_

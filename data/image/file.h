// Whole files in and out of memory.
//
// Errors: NotFound where there is no such file, Unavailable where it cannot be read or written; both name the
// path and the system's reason. Thread-safe.
#ifndef TRIREME_DATA_IMAGE_FILE_H_
#define TRIREME_DATA_IMAGE_FILE_H_

#include <cstddef>
#include <string>

#include "core/base/status.h"

namespace trireme {

// At most `limit` bytes from the start of the file.
StatusOr<std::string> ReadFile(const std::string& path, size_t limit = SIZE_MAX);

// Written beside `path` first, then renamed, so that no reader ever sees half a file.
Status WriteFile(const std::string& path, absl::string_view contents);

}  // namespace trireme

#endif  // TRIREME_DATA_IMAGE_FILE_H_

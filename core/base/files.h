// Files, read and written whole, with errors that name the path and the system's reason.
#ifndef TRIREME_CORE_BASE_FILES_H_
#define TRIREME_CORE_BASE_FILES_H_

#include <string>

#include "core/base/status.h"

namespace trireme {

// Also true where it cannot be told: whoever opens it learns why.
bool PathExists(const std::string& path);

// NotFound if there is no such file; InvalidArgument if there can be none, PermissionDenied or Unavailable otherwise.
StatusOr<std::string> ReadFile(const std::string& path);

// Creates or replaces the file, and returns when its bytes are on the disk.
Status WriteFileDurably(const std::string& path, const std::string& bytes);

// Replaces `path` by a file with these bytes, or leaves it as it was: a temporary file beside it, then rename.
Status WriteFileAtomically(const std::string& path, const std::string& bytes);

// Makes what was created or renamed within the folder survive a power cut.
Status SyncFolder(const std::string& path);

// With parents.
Status MakeFolder(const std::string& path);

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_FILES_H_

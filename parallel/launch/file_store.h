// A store that is a folder: a file for each key, on a file system that all processes of the job see.
//
// The folder is the job's alone: it is made new, readable by its user only, and one that anybody else could write to
// is refused. Values are written beside their place and moved there.
#ifndef TRIREME_PARALLEL_LAUNCH_FILE_STORE_H_
#define TRIREME_PARALLEL_LAUNCH_FILE_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "parallel/launch/store.h"

namespace trireme {

class FileStore : public Store {
 public:
  // AlreadyExists if there is such a folder: it belongs to another job.
  static StatusOr<std::unique_ptr<FileStore>> Create(const std::string& folder);
  // NotFound if there is none (yet); PermissionDenied if it is not this user's alone.
  static StatusOr<std::unique_ptr<FileStore>> Open(const std::string& folder);

  Status Set(const std::string& key, const std::string& value) override;
  StatusOr<std::string> SetIfAbsent(const std::string& key, const std::string& value) override;
  StatusOr<std::optional<std::string>> Find(const std::string& key) const override;

  // All that begin so.
  StatusOr<std::vector<std::string>> Keys(const std::string& prefix) const;
  const std::string& folder() const { return folder_; }

 private:
  explicit FileStore(const std::string& folder) : folder_(folder) {}
  std::string PathOf(const std::string& key) const;
  StatusOr<std::string> WriteBeside(const std::string& value) const;

  const std::string folder_;
};

// 32 hexadecimal digits that nobody can guess.
std::string RandomName();

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_FILE_STORE_H_

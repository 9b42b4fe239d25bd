// A folder of the test's own, empty at first, removed at the end.
#ifndef TRIREME_TESTS_CORE_TESTING_TEMPORARY_FOLDER_H_
#define TRIREME_TESTS_CORE_TESTING_TEMPORARY_FOLDER_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace trireme::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(::testing::TempDir() + "/trireme_XXXXXX") {
    if (mkdtemp(&path_[0]) == nullptr) abort();
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Returns the path of the file.
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(*this / name, std::ios::binary) << bytes;
    return *this / name;
  }

 private:
  std::string path_;
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_TEMPORARY_FOLDER_H_

// An empty folder of the test's own.
#ifndef TRIREME_TESTS_DATA_TEMP_FOLDER_H_
#define TRIREME_TESTS_DATA_TEMP_FOLDER_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace trireme {

inline std::string TempFolder(const std::string& name) {
  const char* root = std::getenv("TEST_TMPDIR");
  const std::filesystem::path path = std::filesystem::path(root != nullptr ? root : ::testing::TempDir()) / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path.string();
}

inline void WriteBytes(const std::string& path, const std::string& bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace trireme

#endif  // TRIREME_TESTS_DATA_TEMP_FOLDER_H_

// For tests of what writes files.
#ifndef TRIREME_TESTS_CORE_TESTING_NAMES_IN_H_
#define TRIREME_TESTS_CORE_TESTING_NAMES_IN_H_

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace trireme::testing {

// Of what lies in a folder, sorted.
inline std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_CORE_TESTING_NAMES_IN_H_

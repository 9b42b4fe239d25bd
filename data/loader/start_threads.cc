#include "data/loader/start_threads.h"

#include <glog/logging.h>

#include <system_error>

namespace trireme {

Status StartThreads(int count, const std::function<void()>& work, std::vector<std::thread>* threads) {
  for (int i = 0; i < count; ++i) {
    try {
      threads->emplace_back(work);
    } catch (const std::system_error& error) {
      if (i == 0) {
        return absl::ResourceExhaustedError(
            absl::StrCat("no thread can be started to read images: ", error.what(), "; ask for fewer workers"));
      }
      LOG(WARNING) << "loader.threads: only " << i << " of " << count << " threads could be started: " << error.what();
      break;
    }
  }
  return absl::OkStatus();
}

}  // namespace trireme

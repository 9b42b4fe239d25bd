// Threads for work that any number of them can share.
#ifndef TRIREME_DATA_LOADER_START_THREADS_H_
#define TRIREME_DATA_LOADER_START_THREADS_H_

#include <functional>
#include <thread>
#include <vector>

#include "core/base/status.h"

namespace trireme {

// Adds up to `count` threads that run `work`. Where the system lets no more start (a limit on processes or memory),
// those that there are have to do, which is logged. ResourceExhausted if there is none.
Status StartThreads(int count, const std::function<void()>& work, std::vector<std::thread>* threads);

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_START_THREADS_H_

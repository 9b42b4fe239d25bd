// The contract of a launcher: starts the workers of a job and gives each its communicator. It is what a
// config names as its communicator: [communicator/threads] runs workers as threads of one process.
#ifndef TRIREME_CORE_API_LAUNCHER_H_
#define TRIREME_CORE_API_LAUNCHER_H_

#include <functional>

#include "core/api/communicator.h"

namespace trireme {

class Launcher {
 public:
  static constexpr const char kKind[] = "communicator";
  struct BuildArgs {};

  virtual ~Launcher() = default;

  // Runs `worker` once for each of `world_size` workers (those that live in this process) and returns
  // when all have ended. The status is the first fault's own, not that of the peers which it took down.
  virtual Status Run(int world_size, const std::function<Status(Communicator& communicator)>& worker) = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_LAUNCHER_H_

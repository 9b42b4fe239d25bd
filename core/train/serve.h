// What a rank does that is no worker, but serves them (see core/api/server_ranks.h): the strategy's work, and its part
// in checkpoints.
#ifndef TRIREME_CORE_TRAIN_SERVE_H_
#define TRIREME_CORE_TRAIN_SERVE_H_

#include <functional>

#include "core/api/communicator.h"
#include "core/api/strategy.h"

namespace trireme {

struct ServeParts {
  Strategy* strategy = nullptr;
  Communicator* communicator = nullptr;                       // of the whole job
  std::function<Status(int64_t steps_done)> save_checkpoint;  // collective over the whole job
  int64_t first_step = 0, total_steps = 0;
};

// Beside Trainer::Run of the workers; ends as that does.
Status ServeWorkers(const ServeParts& parts);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_SERVE_H_

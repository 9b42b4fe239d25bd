// What workers that are asynchronous tell one another when they meet: every step since they last did.
#ifndef TRIREME_CORE_TRAIN_MEETING_H_
#define TRIREME_CORE_TRAIN_MEETING_H_

#include <vector>

#include "core/api/communicator.h"
#include "core/train/step_results.h"

namespace trireme {

// `mine` are this worker's outcomes, of one row each; all workers bring the same steps. Returns, for each step, what
// all brought: every worker's notes and losses, the latter divided by the number of workers, for each has computed them
// of its own images as if they were the batch. A step was applied if every worker's part was; the scale of losses is
// rank 0's, and the gradients' norm the largest. Collective, on the compute stream; waits.
StatusOr<std::vector<StepOutcome>> MeetOverSteps(const std::vector<StepOutcome>& mine, Communicator& communicator,
                                                 Device& device);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_MEETING_H_

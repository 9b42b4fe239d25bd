// What a rank of a job is made of, built from the job's config.
#ifndef TRIREME_TOOLS_JOB_RANK_PARTS_H_
#define TRIREME_TOOLS_JOB_RANK_PARTS_H_

#include <memory>

#include "core/api/communicator.h"
#include "core/api/detector.h"
#include "core/api/lone_communicator.h"
#include "core/api/optimizer.h"
#include "core/api/schedule.h"
#include "core/api/strategy.h"
#include "core/nn/parameter_arena.h"
#include "core/train/step_guard.h"
#include "core/train/weight_average.h"
#include "tools/job/job.h"

namespace trireme {

// The ranks behind the workers only serve (see core/api/server_ranks.h).
struct RankParts {
  std::unique_ptr<Communicator> subset;   // of the workers, where there are other ranks too
  Communicator* among_workers = nullptr;  // null on a rank that serves
  std::unique_ptr<Detector> detector;
  std::unique_ptr<ParameterArena> arena;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  LoneCommunicator alone;  // an asynchronous worker judges its own gradients
  std::unique_ptr<StepGuard> guard;
  std::unique_ptr<WeightAverage> average;  // null where the config asks for none, and on a rank that serves
  std::unique_ptr<Strategy> strategy;      // the last: its threads refer to the others
};

StepGuardOptions GuardOptionsOf(const Config& config);

// Fills in `parts`, with the weights that the run starts from, and sets the strategy up. Collective. After a fault the
// strategy may be half set up, with threads: `parts` are to outlive what tells the peers of it (see abort_on_fault.h).
Status BuildRank(const Job& job, Device& device, Communicator& communicator, RankParts* parts);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_RANK_PARTS_H_

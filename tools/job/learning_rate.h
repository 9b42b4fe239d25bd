// The learning rate of a job: its schedule, scaled to its batch.
#ifndef TRIREME_TOOLS_JOB_LEARNING_RATE_H_
#define TRIREME_TOOLS_JOB_LEARNING_RATE_H_

#include <memory>
#include <string>

#include "core/api/schedule.h"
#include "core/base/status.h"
#include "tools/job/job.h"

namespace trireme {

StatusOr<std::unique_ptr<Schedule>> MakeSchedule(const Job& job);

// What was done to the schedule's rate and why, in a sentence; empty where nothing was.
std::string DescribeLearningRateScaling(const Job& job);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_LEARNING_RATE_H_

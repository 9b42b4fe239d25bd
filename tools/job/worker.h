// What one worker of a job does, from its device to its last step.
#ifndef TRIREME_TOOLS_JOB_WORKER_H_
#define TRIREME_TOOLS_JOB_WORKER_H_

#include <atomic>
#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/train/trainer.h"
#include "tools/job/job.h"
#include "tools/job/worker_place.h"

namespace trireme {

// What rank 0 is told besides the steps.
class JobObserver : public TrainObserver {
 public:
  struct Setup {
    std::string device;
    std::string why_this_device;  // empty where the config named it
    std::vector<WorkerPlace> workers;
    int64_t trained_values = 0;
    int64_t first_step = 0;
    bool synchronous = true;
    int server_ranks = 0;  // beside the workers
  };
  virtual void OnStart(const Setup& setup) = 0;
  // What the workers' devices gave out at most, by rank.
  virtual void OnEnd(const std::vector<MemoryStats>& memory) = 0;
};

// Runs on the worker's own thread. `observer` is used on rank 0 only.
Status RunWorker(const Job& job, Communicator& communicator, JobObserver* observer,
                 const std::atomic<bool>* stop_requested);

// Cores of one of the `workers` workers that share this machine.
int ThreadsPerWorker(const Config& config, int workers);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_WORKER_H_

// A training job: everything that its workers share, checked before the first of them starts.
#ifndef TRIREME_TOOLS_JOB_JOB_H_
#define TRIREME_TOOLS_JOB_JOB_H_

#include <memory>
#include <string>
#include <vector>

#include "core/api/dataset.h"
#include "core/api/launcher.h"
#include "core/api/transform.h"
#include "core/base/fault_log.h"
#include "core/config/config.pb.h"
#include "core/train/checkpoint_folder.h"
#include "tools/job/run_folder.h"
#include "tools/trace/trace_options.h"

namespace trireme {

// Read-only once prepared, but for the fault log, which is safe for all threads.
struct Job {
  std::string name;  // of the config, without folder and ending
  Config config;
  std::string run_folder;
  std::unique_ptr<FileLock> lock;      // of run_folder; null in a process that does not lead
  std::string resume_from;             // a checkpoint; empty for a new run
  CheckpointInfo resumed;              // of resume_from
  std::string resumed_bytes = "none";  // likewise (see job_facts.h)
  std::unique_ptr<FaultLog> faults;
  std::unique_ptr<Dataset> train_data;
  std::unique_ptr<Dataset> eval_data;  // null: no evaluation
  std::vector<std::unique_ptr<Transform>> transforms;
  TraceOptions trace;
};

// Of a config whose numbers CheckNumbers has passed. Fills in what it leaves out (strategy, communicator), opens the
// data, builds each component once to check its config, and creates and locks the run folder. `resume` goes on with the
// newest checkpoint of the run. A process that does not lead its job (see launcher.h) finds the folder there, in
// config.out, and writes nothing.
StatusOr<std::unique_ptr<Job>> PrepareJob(const std::string& name, const Config& config, bool resume,
                                          bool leads = true);

// The config's communicator, or threads.
StatusOr<std::unique_ptr<Launcher>> MakeLauncher(const Config& config);

// Decoded images are kept up to this many bytes; see data/loader.
StatusOr<std::unique_ptr<Dataset>> OpenDataset(const google::protobuf::Any& any, absl::string_view field,
                                               int64_t cache_mb, FaultLog* faults);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_JOB_H_

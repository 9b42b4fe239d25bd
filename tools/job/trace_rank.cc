#include "tools/job/trace_rank.h"

#include <glog/logging.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/trace.h"
#include "parallel/communicator/traced/traced_communicator.h"
#include "tools/trace/trace_file.h"

namespace trireme {
namespace {

// For people: who is in a trace, and what it is of.
std::string TraceNameOf(const Job& job, const Communicator& communicator, const Device& device) {
  const bool serves = communicator.rank() >= job.config.workers();
  return absl::StrCat("rank ", communicator.rank(), serves ? ", a server," : "", " on ", device.name());
}
std::string DescribeTrace(const Job& job, const Communicator& communicator) {
  const int workers = job.config.workers(), servers = communicator.size() - workers;
  const auto count = [](int n, const char* what) { return absl::StrCat(n, " ", what, n == 1 ? "" : "s"); };
  return absl::StrCat(job.name, ", ", job.config.strategy().type_url(), ", ", count(workers, "worker"),
                      servers == 0 ? "" : absl::StrCat(" and ", count(servers, "server")), ", steps ",
                      job.trace.first_step, " to ", job.trace.end_step - 1);
}

}  // namespace

Status TraceRank(const Job& job, Device& device, Communicator& communicator,
                 const std::function<Status(Communicator& traced, JobClock* clock)>& work) {
  const auto trace = std::make_shared<Trace>(communicator.rank(), job.trace.first_step, job.trace.end_step);
  const bool enqueues = !device.compute_stream().is_inline();
  const char* const role = communicator.rank() < job.config.workers() ? "worker" : "server";
  const TraceThread bound(trace, absl::StrCat(role, enqueues ? " (when it enqueues)" : ""));
  const std::unique_ptr<Communicator> traced = TraceCommunicator(communicator);
  JobClock clock;
  const Status worked = CatchDeviceError([&] { return work(*traced, &clock); });
  const std::string name = TraceNameOf(job, communicator, device), description = DescribeTrace(job, communicator);
  // All ranks end a run that is done, or was stopped; after a fault nobody can be asked.
  if (!worked.ok() && !absl::IsCancelled(worked)) {
    const Status written = WriteOwnTrace(trace.get(), name, description, job.trace.file, clock);
    if (!written.ok()) LOG(WARNING) << "--trace: " << written.message();
    return worked;
  }
  const Status written = GatherAndWriteTrace(trace.get(), name, description, job.trace.file, communicator, device);
  return worked.ok() ? Annotate(written, "--trace") : worked;
}

}  // namespace trireme

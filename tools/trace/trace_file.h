// Traces as files in Chrome's trace event format, which ui.perfetto.dev opens: a process for each rank, a track for
// each of its threads and streams, complete events ("X") in microseconds since the first one.
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#ifndef TRIREME_TOOLS_TRACE_TRACE_FILE_H_
#define TRIREME_TOOLS_TRACE_TRACE_FILE_H_

#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/base/trace.h"
#include "tools/trace/clock_offset.h"

namespace trireme {

// One rank's part, as text for WriteTrace. `process` is the rank's name for people; `offset` nanoseconds are added to
// all times, which are off by at most `error`.
std::string TracePart(const Trace& trace, const std::string& process, int64_t offset, int64_t error);

// All ranks' parts as one file. `description` says what it is of. Unavailable if it cannot be written.
Status WriteTrace(const std::vector<std::string>& parts, const std::string& description, const std::string& path);

// Rank 0 writes the file; the others send it what they recorded, once the trace has stopped. Collective.
Status GatherAndWriteTrace(Trace* trace, const std::string& process, const std::string& description,
                           const std::string& path, Communicator& communicator, Device& device);

// After a fault, when nobody can be asked: what this rank has recorded so far, in a file of its own: `path` on rank 0,
// path with ".rank1" before its extension on rank 1, and so on. None if there is nothing. Times are since `clock`'s
// zero, so that the files of all ranks are on one clock, as far as those of hosts have gone alike since then.
Status WriteOwnTrace(Trace* trace, const std::string& process, const std::string& description, const std::string& path,
                     const JobClock& clock);

struct NamedTraceFile {
  std::string name;
  std::string path;
};
// Files of several jobs under one another in one, each beginning at zero; a process is named after its job. Files that
// are not there are left out. DataLoss for one that is no trace.
Status MergeTraces(const std::vector<NamedTraceFile>& files, const std::string& description, const std::string& path);

}  // namespace trireme

#endif  // TRIREME_TOOLS_TRACE_TRACE_FILE_H_

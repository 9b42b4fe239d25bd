// What the workers of a training job have to agree on before they build anything (core/train/agreement.h).
#ifndef TRIREME_TOOLS_JOB_JOB_FACTS_H_
#define TRIREME_TOOLS_JOB_JOB_FACTS_H_

#include <string>
#include <vector>

#include "core/train/agreement.h"
#include "tools/job/job.h"

namespace trireme {

// The program and its plugins, the config but for what may differ from host to host (devices, threads, memory, where
// things lie), the data, and the checkpoint that a run is resumed from.
std::vector<Fact> FactsOf(const Job& job);

// What hosts that go on from a checkpoint have to agree on besides its step: how many bytes of weights and state there
// are, and which, as a hash.
StatusOr<std::string> DescribeBytes(const std::string& checkpoint, const CheckpointInfo& info);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_JOB_FACTS_H_

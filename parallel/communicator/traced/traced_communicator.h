// A communicator that records what another one does, for a trace: each call as a span on the stream that carries it out
// (core/device/stream_span.h), with the bytes of its tensor. It adds nothing else, for any communicator.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_TRACED_TRACED_COMMUNICATOR_H_
#define TRIREME_PARALLEL_COMMUNICATOR_TRACED_TRACED_COMMUNICATOR_H_

#include <memory>

#include "core/api/communicator.h"

namespace trireme {

// `communicator` outlives it. Duplicates and subsets are traced, too.
std::unique_ptr<Communicator> TraceCommunicator(Communicator& communicator);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_TRACED_TRACED_COMMUNICATOR_H_

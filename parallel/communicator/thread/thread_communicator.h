// Workers as threads of one process, and the communicator between them:
// "communicator/threads".
//
// A message is handed over where it lies: the sender waits while the receiver
// copies from its buffer, and collectives read their peers' buffers. Reductions
// add in rank order, so that results are the same bits on every rank and in
// every run.
//
// Of CPU tensors a call runs on its stream, inline or on the stream's thread.
// On a GPU that several workers share, the host meets its peers and the streams
// are ordered by events (see stream_exchange.h); workers on different GPUs are
// refused.
//
// Faults, besides communicator.h's: a worker that returns an error is a fault
// of the job, and one that returns while a peer waits for it is a fault of the
// job too (Unavailable). A late peer is DeadlineExceeded, one that makes
// another call or sends another size Internal. A fault of one communicator is
// the fault of all its duplicates, and of all ranks at once.
//
// bytes_sent() is what peers have read from this rank's buffers through this
// communicator and its duplicates; busy_seconds() is this communicator's own.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_THREAD_THREAD_COMMUNICATOR_H_
#define TRIREME_PARALLEL_COMMUNICATOR_THREAD_THREAD_COMMUNICATOR_H_

#include <memory>

#include "core/api/launcher.h"

namespace trireme {

// Every wait for a peer ends after `timeout_seconds` > 0. A launcher may run
// several jobs, at once too.
std::unique_ptr<Launcher> MakeThreadLauncher(double timeout_seconds);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_THREAD_THREAD_COMMUNICATOR_H_

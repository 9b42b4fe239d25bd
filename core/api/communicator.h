// The contract of a communicator: moves bytes between the workers of a job, and knows nothing of models.
//
// Every call is collective over the named ranks and runs in the order of the stream it is given: on
// CPU's compute stream it has happened when the call returns; on another stream it is enqueued. All
// ranks issue the same calls in the same order. One communicator is used from one stream at a time; what
// runs beside it (bucket reduction beside synchronised norm) takes a Duplicate.
//
// Faults: every wait for a peer has a deadline. The first fault (a dead peer, a late one, one that sends
// another size) poisons the communicator: later calls, and calls of its duplicates, fail at once with
// the same status, which names the rank, the operation and what was waited for. A call returns the fault
// known so far; one of an asynchronous stream shows in status() after the stream is synchronised.
#ifndef TRIREME_CORE_API_COMMUNICATOR_H_
#define TRIREME_CORE_API_COMMUNICATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/tensor/tensor.h"

namespace trireme {

enum class ReduceOperation { kSum, kMax };

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Tensors are contiguous by nature; all element types move, and all but uint8 reduce:
  // integers wrap, and 16-bit sums are rounded at least once (how often is the communicator's business).
  // In place; every rank gets the same bits.
  virtual Status AllReduce(const Tensor& tensor, ReduceOperation operation, Stream& stream) = 0;
  // `tensor` has size() equal parts; rank r's part ends up reduced, the others are undefined.
  virtual Status ReduceScatter(const Tensor& tensor, ReduceOperation operation, Stream& stream) = 0;
  // `tensor` has size() equal parts; rank r contributes part r, all get all.
  virtual Status AllGather(const Tensor& tensor, Stream& stream) = 0;
  virtual Status Broadcast(const Tensor& tensor, int root, Stream& stream) = 0;
  // Matched by order between a pair of ranks; both sides give the same size.
  virtual Status Send(const Tensor& tensor, int to, Stream& stream) = 0;
  virtual Status Receive(const Tensor& tensor, int from, Stream& stream) = 0;
  // Both at once, which a ring needs so as not to wait in a circle.
  virtual Status SendReceive(const Tensor& send, int to, const Tensor& receive, int from, Stream& stream) = 0;
  virtual Status Barrier(Stream& stream) = 0;

  // An independent channel between the same ranks. Collective.
  virtual StatusOr<std::unique_ptr<Communicator>> Duplicate() = 0;
  // An independent channel between some of the ranks: `ranks`, all different and at least one, become 0, 1, ... in this
  // order. Collective over all ranks, which name the same ones; null on those that are not among them. Faults are the
  // whole job's, as a duplicate's are, and name ranks as the job counts them.
  virtual StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>& ranks) = 0;

  // True if collective calls on a device's streams may be recorded with the step that they belong to (see
  // Device::BeginCapture) and launched again. The same on every rank.
  virtual bool can_capture() const { return false; }

  // After which a wait for a peer is a fault.
  virtual double timeout_seconds() const { return 60; }

  // OK, or the first fault.
  virtual Status status() const = 0;
  // Poisons the job from this rank: peers that wait for it get `reason` at once.
  virtual void Abort(const Status& reason) = 0;

  // Since the start, this rank's sends only, those of its duplicates and subsets included.
  virtual int64_t bytes_sent() const = 0;
  // Seconds that calls of this rank have spent waiting for peers or moving bytes; not those of its duplicates and
  // subsets, which may run beside other work.
  virtual double busy_seconds() const = 0;
};

// Of what Subset is given: a programmer's error if it is not what it has to be.
void CheckSubset(const Communicator& communicator, const std::vector<int>& ranks);

// Gathers one string from every rank, in rank order; collective, on the compute stream of `device`.
StatusOr<std::vector<std::string>> AllGatherStrings(Communicator& communicator, const std::string& mine,
                                                    Device& device);

}  // namespace trireme

#endif  // TRIREME_CORE_API_COMMUNICATOR_H_

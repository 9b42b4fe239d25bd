// The few calls of NCCL (and CUDA) that the communicator makes, as an interface: NCCL's own in a CUDA build, a fake in
// tests, for what matters most is what happens when it fails.
//
// A channel is an ncclComm_t that does not block: a call may begin what IsReady later says is done, and until then no
// other call but Abort may be made on the channel. Calls on one channel are made by one thread at a time.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_LIBRARY_H_
#define TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_LIBRARY_H_

#include <memory>
#include <string>

#include "core/api/communicator.h"

namespace trireme {

class NcclLibrary {
 public:
  using Channel = void*;

  virtual ~NcclLibrary() = default;

  // Of the memory that it moves.
  virtual DeviceKind device_kind() const { return DeviceKind::kCuda; }

  // Of a new group of channels, for one rank to make and all to use.
  virtual StatusOr<std::string> NewId() = 0;
  // Names the calling thread's GPU as no other GPU of the cluster is named, and one line for people.
  struct Gpu {
    std::string identity, name;
  };
  virtual StatusOr<Gpu> GpuOfThisThread() = 0;
  // For example "2.28.9"; ranks with different ones do not mix.
  virtual std::string version() = 0;

  // Begins; *channel is there when the call returns.
  virtual Status Join(const std::string& id, int rank, int size, Channel* channel) = 0;
  // Begins on both, with the parent's ranks that give a place, in the order of their places; a rank that gives a
  // negative one has no part and gets null. *child, which has to stay where it is, is there once IsReady(parent).
  virtual Status Split(Channel parent, int place, Channel* child) = 0;
  virtual StatusOr<bool> IsReady(Channel channel) = 0;

  // In order of the stream. A part has `count` elements, a message `bytes`.
  virtual Status AllReduce(Channel channel, void* data, int64_t count, DataType type, ReduceOperation operation,
                           Stream& stream) = 0;
  virtual Status ReduceScatter(Channel channel, const void* all, void* part, int64_t count, DataType type,
                               ReduceOperation operation, Stream& stream) = 0;
  virtual Status AllGather(Channel channel, const void* part, void* all, int64_t part_bytes, Stream& stream) = 0;
  virtual Status Broadcast(Channel channel, void* data, int64_t bytes, int root, Stream& stream) = 0;
  // Either may be left out by a negative rank; both at once.
  virtual Status SendReceive(Channel channel, const void* sent, int64_t sent_bytes, int to, void* received,
                             int64_t received_bytes, int from, Stream& stream) = 0;

  // Ends what is under way on the device, and the channel. Thread-safe.
  virtual void Abort(Channel channel) = 0;
  // Ends a channel whose work is done.
  virtual void Destroy(Channel channel) = 0;

  // Zeroed memory that both the host and the calling thread's GPU read and write / that the GPU does. Independent of
  // any Device, so that a communicator may live longer than it.
  virtual StatusOr<std::shared_ptr<void>> NewSharedMemory(size_t bytes) = 0;
  virtual StatusOr<std::shared_ptr<void>> NewDeviceMemory(size_t bytes) = 0;
};

// FailedPrecondition, saying what to do, in a build without CUDA. Lives as long as the process.
StatusOr<NcclLibrary*> SystemNccl();

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_LIBRARY_H_

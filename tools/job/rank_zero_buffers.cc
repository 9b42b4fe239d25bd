#include "tools/job/rank_zero_buffers.h"

namespace trireme {

Status WithBuffersOfRankZero(const ParameterArena& arena, Communicator& communicator,
                             const std::function<Status()>& work) {
  const Tensor& buffers = arena.buffer_values();
  if (buffers.size() == 0 || communicator.size() == 1) return work();
  Stream& stream = arena.device().compute_stream();
  const Tensor own = Tensor::Empty(arena.device(), buffers.shape(), buffers.type());
  own.CopyFrom(buffers, stream);
  TRIREME_RETURN_IF_ERROR(communicator.Broadcast(buffers, 0, stream));
  const Status status = work();
  buffers.CopyFrom(own, stream);
  return status;
}

}  // namespace trireme

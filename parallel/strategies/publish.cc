#include "parallel/strategies/publish.h"

namespace trireme {

Status PublishParameters(const ParameterArena& arena, Communicator& communicator) {
  if (communicator.size() == 1) return absl::OkStatus();
  Stream& stream = arena.device().compute_stream();
  TRIREME_RETURN_IF_ERROR(communicator.Broadcast(arena.values(), 0, stream));
  TRIREME_RETURN_IF_ERROR(communicator.Broadcast(arena.buffer_values(), 0, stream));
  arena.RefreshRounded();
  stream.Synchronize();
  return communicator.status();
}

}  // namespace trireme

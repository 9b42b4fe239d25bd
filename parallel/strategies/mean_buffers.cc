#include "parallel/strategies/mean_buffers.h"

#include "parallel/strategies/mean.h"

namespace trireme {

MeanBuffers::MeanBuffers(const ParameterArena& arena, int rank, int workers)
    : arena_(arena), works_(rank < workers), workers_(workers) {}

Status MeanBuffers::Take(Communicator& communicator) {
  const Tensor& buffers = arena_.buffer_values();
  if (buffers.size() == 0 || communicator.size() == 1) return absl::OkStatus();
  Stream& stream = arena_.device().compute_stream();
  if (!wide_.defined()) wide_ = Tensor::Empty(arena_.device(), buffers.shape(), DataType::kFloat64);
  if (works_) {
    Widen(buffers, wide_, stream);
  } else {
    wide_.Zero(stream);
  }
  TRIREME_RETURN_IF_ERROR(communicator.AllReduce(wide_, ReduceOperation::kSum, stream));
  DivideAndNarrow(wide_, workers_, buffers, stream);
  return absl::OkStatus();
}

}  // namespace trireme

#include "parallel/communicator/nccl/nccl_progress.h"

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

TRIREME_HD void Put(int64_t* to, int64_t value) {
#ifdef __CUDA_ARCH__
  *static_cast<volatile int64_t*>(to) = value;
  __threadfence_system();
#else
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
#endif
}

}  // namespace

void MarkBegin(NcclProgress* progress, int64_t operation, int64_t bytes, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    Put(&progress->bytes_sent, progress->bytes_sent + bytes);
    Put(&progress->current, operation);
    Put(&progress->started, progress->started + 1);
  });
}

void MarkEnd(NcclProgress* progress, Stream& stream) {
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) { Put(&progress->current, 0); });
}

NcclProgress Look(const NcclProgress* progress) {
  NcclProgress seen;
  seen.started = __atomic_load_n(&progress->started, __ATOMIC_RELAXED);
  seen.current = __atomic_load_n(&progress->current, __ATOMIC_RELAXED);
  seen.bytes_sent = __atomic_load_n(&progress->bytes_sent, __ATOMIC_RELAXED);
  return seen;
}

}  // namespace trireme

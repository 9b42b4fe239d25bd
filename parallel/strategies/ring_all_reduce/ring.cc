#include "parallel/strategies/ring_all_reduce/ring.h"

#include <algorithm>

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

constexpr int64_t kCacheLine = 16;  // floats

void Add(const Tensor& from, const Tensor& to, Stream& stream) {
  const float* source = from.data<float>();
  float* sum = to.data<float>();
  ParallelFor(stream, to.size(), [=] TRIREME_HD(int64_t i) { sum[i] += source[i]; });
}

}  // namespace

Status RingAllReduce(Communicator& communicator, const Tensor& values, const Tensor& scratch, Stream& stream) {
  const int n = communicator.size(), rank = communicator.rank();
  const int64_t size = values.size();
  if (n == 1 || size == 0) return absl::OkStatus();
  CHECK_GE(scratch.size(), 1);
  const int left = (rank + n - 1) % n, right = (rank + 1) % n;
  const int64_t chunk = ((size + n - 1) / n + kCacheLine - 1) / kCacheLine * kCacheLine;
  const int64_t piece = std::min(scratch.size(), chunk);
  const int64_t num_pieces = (chunk + piece - 1) / piece;
  // Piece p of the chunk that is `back` places behind this rank's own; the last
  // ones may be short or empty.
  const auto part = [&](int back, int64_t p) {
    const int64_t c = (rank + 2 * n - back) % n;
    const int64_t end = std::min((c + 1) * chunk, size);
    return values.Flat(std::min(c * chunk + p * piece, end), std::min(c * chunk + (p + 1) * piece, end));
  };
  for (int step = 0; step < n - 1; ++step) {
    for (int64_t p = 0; p < num_pieces; ++p) {
      const Tensor mine = part(step + 1, p);
      const Tensor incoming = scratch.Flat(0, mine.size());
      TRIREME_RETURN_IF_ERROR(communicator.SendReceive(part(step, p), right, incoming, left, stream));
      Add(incoming, mine, stream);
    }
  }
  for (int step = 0; step < n - 1; ++step) {
    for (int64_t p = 0; p < num_pieces; ++p) {
      TRIREME_RETURN_IF_ERROR(communicator.SendReceive(part(step + n - 1, p), right, part(step, p), left, stream));
    }
  }
  return absl::OkStatus();
}

}  // namespace trireme

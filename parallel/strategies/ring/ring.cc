#include "parallel/strategies/ring/ring.h"

#include <algorithm>

#include "core/device/parallel_for.h"

namespace trireme {
namespace {

constexpr int64_t kCacheLine = 16;  // floats

int64_t ChunkSize(int64_t size, int ring_size) {
  return ((size + ring_size - 1) / ring_size + kCacheLine - 1) / kCacheLine * kCacheLine;
}

template <class T>
void AddAs(const Tensor& from, const Tensor& to, Stream& stream) {
  const T* source = from.data<T>();
  T* sum = to.data<T>();
  ParallelFor(stream, to.size(),
              [=] TRIREME_HD(int64_t i) { sum[i] = FromFloat<T>(ToFloat(sum[i]) + ToFloat(source[i])); });
}

void Add(const Tensor& from, const Tensor& to, Stream& stream) {
  DispatchFloating(to.type(), [&](auto element) { AddAs<decltype(element)>(from, to, stream); });
}

// An array that goes round a ring, by chunk and piece.
class RoundTrip {
 public:
  RoundTrip(const Ring& ring, const Tensor& values, int64_t piece)
      : ring_(ring),
        values_(values),
        chunk_(ChunkSize(values.size(), ring.size())),
        piece_(std::min(piece, chunk_)),
        num_pieces_((chunk_ + piece_ - 1) / piece_) {}

  int left() const { return ring_.ranks[(ring_.place + ring_.size() - 1) % ring_.size()]; }
  int right() const { return ring_.ranks[(ring_.place + 1) % ring_.size()]; }
  int64_t num_pieces() const { return num_pieces_; }

  // Piece p of the chunk that is `back` places behind this rank's own; the last ones may be short or empty.
  Tensor Part(int back, int64_t p) const {
    const int64_t c = (ring_.place + 2 * ring_.size() - back) % ring_.size();
    const int64_t end = std::min((c + 1) * chunk_, values_.size());
    return values_.Flat(std::min(c * chunk_ + p * piece_, end), std::min(c * chunk_ + (p + 1) * piece_, end));
  }

 private:
  const Ring& ring_;
  const Tensor& values_;
  const int64_t chunk_, piece_, num_pieces_;
};

}  // namespace

Ring WholeRing(const Communicator& communicator) {
  Ring ring;
  for (int rank = 0; rank < communicator.size(); ++rank) ring.ranks.push_back(rank);
  ring.place = communicator.rank();
  return ring;
}

RingChunk ChunkOf(int64_t size, int ring_size, int place) {
  const int64_t chunk = ChunkSize(size, ring_size);
  return {std::min(place * chunk, size), std::min((place + 1) * chunk, size)};
}

Status RingReduceScatter(Communicator& communicator, const Ring& ring, const Tensor& values, const Tensor& scratch,
                         Stream& stream) {
  if (ring.size() == 1 || values.size() == 0) return absl::OkStatus();
  CHECK_GE(scratch.size(), 1);
  const RoundTrip trip(ring, values, scratch.size());
  // What a rank passes on first is the chunk that will come back to it from the other side last.
  for (int step = 1; step < ring.size(); ++step) {
    for (int64_t p = 0; p < trip.num_pieces(); ++p) {
      const Tensor mine = trip.Part(step + 1, p);
      const Tensor incoming = scratch.Flat(0, mine.size());
      TRIREME_RETURN_IF_ERROR(
          communicator.SendReceive(trip.Part(step, p), trip.right(), incoming, trip.left(), stream));
      Add(incoming, mine, stream);
    }
  }
  return absl::OkStatus();
}

Status RingAllGather(Communicator& communicator, const Ring& ring, const Tensor& values, int64_t piece,
                     Stream& stream) {
  if (ring.size() == 1 || values.size() == 0) return absl::OkStatus();
  const RoundTrip trip(ring, values, piece);
  for (int step = 0; step < ring.size() - 1; ++step) {
    for (int64_t p = 0; p < trip.num_pieces(); ++p) {
      TRIREME_RETURN_IF_ERROR(
          communicator.SendReceive(trip.Part(step, p), trip.right(), trip.Part(step + 1, p), trip.left(), stream));
    }
  }
  return absl::OkStatus();
}

Status RingAllReduce(Communicator& communicator, const Ring& ring, const Tensor& values, const Tensor& scratch,
                     Stream& stream) {
  TRIREME_RETURN_IF_ERROR(RingReduceScatter(communicator, ring, values, scratch, stream));
  return RingAllGather(communicator, ring, values, scratch.size(), stream);
}

}  // namespace trireme

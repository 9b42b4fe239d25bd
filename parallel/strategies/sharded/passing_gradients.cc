#include "parallel/strategies/sharded/passing_gradients.h"

#include <algorithm>

namespace trireme {

void PassingGradients::Setup(BucketStream* buckets) {
  stream_ = buckets;
  for (const Bucket& bucket : buckets->buckets()) {
    buckets_.emplace_back();
    buckets_.back().begin = bucket.begin;
    buckets_.back().sums = Tensor::Zeros(arena_.device(), {(bucket.end - bucket.begin) / workers_}, DataType::kFloat32,
                                         MemoryKind::kGradients);
  }
  for (const Parameter* parameter : arena_.parameters()) {
    const int k = buckets->plan().bucket_of[static_cast<size_t>(parameter->index)];
    if (k >= 0)
      buckets_[static_cast<size_t>(k)].begin = std::min(buckets_[static_cast<size_t>(k)].begin, parameter->offset);
  }
}

PassingGradients::Held& PassingGradients::Hold(int k) {
  Held& held = buckets_[static_cast<size_t>(k)];
  if (!held.gradients.defined()) {
    const int64_t size = stream_->buckets()[static_cast<size_t>(k)].end - held.begin;
    held.gradients = Tensor::Zeros(arena_.device(), {size}, DataType::kFloat32, MemoryKind::kGradients);
  }
  return held;
}

Tensor PassingGradients::PlaceOf(int parameter_index) {
  const Parameter& parameter = *arena_.parameters()[static_cast<size_t>(parameter_index)];
  const Held& held = Hold(stream_->plan().bucket_of[static_cast<size_t>(parameter_index)]);
  const int64_t begin = parameter.offset - held.begin;
  return held.gradients.Flat(begin, begin + parameter.shape.size());
}

Tensor PassingGradients::BeginReduction(int k) {
  const Bucket& bucket = stream_->buckets()[static_cast<size_t>(k)];
  const Held& held = Hold(k);
  const int64_t cut_off = bucket.begin - held.begin;
  if (cut_off > 0) {
    const Held& next = Hold(k + 1);
    const int64_t to = held.begin - next.begin;
    next.gradients.Flat(to, to + cut_off).CopyFrom(held.gradients.Flat(0, cut_off), arena_.device().compute_stream());
  }
  if (k > 0) {
    stream_->WaitFor(k - 1);
    Release(k - 1);
  }
  return held.gradients.Flat(cut_off, held.gradients.size());
}

void PassingGradients::EndReduction(int k, const Tensor& gradients, Stream& stream) {
  const Tensor& sums = buckets_[static_cast<size_t>(k)].sums;
  if (sums.size() == 0) return;
  sums.CopyFrom(gradients.Flat(rank_ * sums.size(), (rank_ + 1) * sums.size()), stream);
}

void PassingGradients::Release(int k) { buckets_[static_cast<size_t>(k)].gradients = Tensor(); }

}  // namespace trireme

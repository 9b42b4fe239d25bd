#include "data/loader/cached_dataset.h"

#include <glog/logging.h>

namespace trireme {

CachedDataset::CachedDataset(std::unique_ptr<Dataset> dataset, int64_t capacity)
    : dataset_(std::move(dataset)), capacity_(capacity) {
  CHECK(dataset_ != nullptr);
  CHECK_GE(capacity, 0);
}

Status CachedDataset::Get(int64_t index, Sample* sample) const { return Find(index, &samples_, &Dataset::Get, sample); }

Status CachedDataset::GetEncoded(int64_t index, Sample* sample) const {
  return Find(index, &encoded_, &Dataset::GetEncoded, sample);
}

Status CachedDataset::Find(int64_t index, Samples* samples, Status (Dataset::*get)(int64_t, Sample*) const,
                           Sample* sample) const {
  std::shared_ptr<const Sample> cached;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = samples->find(index);
    if (found != samples->end()) cached = found->second;
  }
  if (cached != nullptr) {
    *sample = *cached;
    return absl::OkStatus();
  }
  TRIREME_RETURN_IF_ERROR(((*dataset_).*get)(index, sample));
  const int64_t bytes = static_cast<int64_t>(sample->source != nullptr    ? sample->source->data.size()
                                             : sample->encoded != nullptr ? sample->encoded->jpeg.size()
                                                                          : 0);
  std::lock_guard<std::mutex> lock(mutex_);
  if (bytes_ + bytes <= capacity_ && samples->emplace(index, std::make_shared<const Sample>(*sample)).second) {
    bytes_ += bytes;
  }
  return absl::OkStatus();
}

int64_t CachedDataset::cached_images() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(samples_.size() + encoded_.size());
}

int64_t CachedDataset::cached_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return bytes_;
}

}  // namespace trireme

#include "data/loader/cached_dataset.h"

#include <glog/logging.h>

namespace trireme {

CachedDataset::CachedDataset(std::unique_ptr<Dataset> dataset, int64_t capacity)
    : dataset_(std::move(dataset)), capacity_(capacity) {
  CHECK(dataset_ != nullptr);
  CHECK_GE(capacity, 0);
}

Status CachedDataset::Get(int64_t index, Sample* sample) const {
  std::shared_ptr<const Sample> cached;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = samples_.find(index);
    if (found != samples_.end()) cached = found->second;
  }
  if (cached != nullptr) {
    *sample = *cached;
    return absl::OkStatus();
  }
  TRIREME_RETURN_IF_ERROR(dataset_->Get(index, sample));
  const int64_t bytes = static_cast<int64_t>(sample->source == nullptr ? 0 : sample->source->data.size());
  std::lock_guard<std::mutex> lock(mutex_);
  if (bytes_ + bytes <= capacity_ && samples_.emplace(index, std::make_shared<const Sample>(*sample)).second) {
    bytes_ += bytes;
  }
  return absl::OkStatus();
}

int64_t CachedDataset::cached_images() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(samples_.size());
}

int64_t CachedDataset::cached_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return bytes_;
}

}  // namespace trireme

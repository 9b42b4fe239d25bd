// A data set that keeps what it has decoded: decoding is most of the cost of a sample.
//
// The first images that fit stay for good, nothing is evicted: every epoch asks for every image once, in another order,
// and then any image is as good as another, while the least recently used one would be the next to come. One is shared
// by all workers of a process. Safe from any thread; two threads that miss the same image at once both decode it.
#ifndef TRIREME_DATA_LOADER_CACHED_DATASET_H_
#define TRIREME_DATA_LOADER_CACHED_DATASET_H_

#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/api/dataset.h"

namespace trireme {

class CachedDataset : public Dataset {
 public:
  // Keeps at most `capacity` bytes of pixels; 0 keeps none.
  CachedDataset(std::unique_ptr<Dataset> dataset, int64_t capacity);

  int64_t size() const override { return dataset_->size(); }
  Status Get(int64_t index, Sample* sample) const override;
  // What is kept then is the file: a run asks for the one or the other.
  Status GetEncoded(int64_t index, Sample* sample) const override;
  const std::vector<std::string>& class_names() const override { return dataset_->class_names(); }
  std::vector<int64_t> category_ids() const override { return dataset_->category_ids(); }
  int max_objects() const override { return dataset_->max_objects(); }

  int64_t cached_images() const;
  int64_t cached_bytes() const;

 private:
  using Samples = std::unordered_map<int64_t, std::shared_ptr<const Sample>>;
  Status Find(int64_t index, Samples* samples, Status (Dataset::*get)(int64_t, Sample*) const, Sample* sample) const;

  const std::unique_ptr<Dataset> dataset_;
  const int64_t capacity_;
  mutable std::mutex mutex_;
  mutable int64_t bytes_ = 0;
  mutable Samples samples_, encoded_;
};

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_CACHED_DATASET_H_

// A data set whose answers are looked at before anybody relies on them: what opened it may be a plugin's.
//
// Where a sample breaks the contract (core/api/dataset.h) it is no sample: Internal says what is wrong, as it does for
// an exception. Objects that break it (a label that is no class; a box that is no number, or has no area in the image)
// are left out, and counted in the fault log. Safe from any thread.
#ifndef TRIREME_DATA_LOADER_CHECKED_DATASET_H_
#define TRIREME_DATA_LOADER_CHECKED_DATASET_H_

#include <memory>

#include "core/api/dataset.h"

namespace trireme {

class CheckedDataset : public Dataset {
 public:
  // InvalidArgument for a data set without images; Internal for one whose numbers and names make no sense, or that
  // throws. The fault log outlives it.
  static StatusOr<std::unique_ptr<Dataset>> Make(std::unique_ptr<Dataset> dataset, FaultLog* faults);

  int64_t size() const override { return dataset_->size(); }
  Status Get(int64_t index, Sample* sample) const override;
  Status GetEncoded(int64_t index, Sample* sample) const override;
  const std::vector<std::string>& class_names() const override { return dataset_->class_names(); }
  std::vector<int64_t> category_ids() const override { return dataset_->category_ids(); }
  int max_objects() const override { return dataset_->max_objects(); }

 private:
  CheckedDataset(std::unique_ptr<Dataset> dataset, FaultLog* faults) : dataset_(std::move(dataset)), faults_(*faults) {}
  Status Check(int64_t index, Sample* sample) const;

  const std::unique_ptr<Dataset> dataset_;
  FaultLog& faults_;
};

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_CHECKED_DATASET_H_

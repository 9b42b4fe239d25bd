// The contract of a data set: a fixed list of images with their objects.
//
// Opening one (the registered factory) reads and checks all annotations, so that what is wrong is
// known before training; images are decoded on demand. Faults that a run can survive go to the
// FaultLog, the others are the factory's status.
#ifndef TRIREME_CORE_API_DATASET_H_
#define TRIREME_CORE_API_DATASET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/api/sample.h"
#include "core/base/fault_log.h"
#include "core/base/status.h"

namespace trireme {

class Dataset {
 public:
  static constexpr const char kKind[] = "dataset";
  struct BuildArgs {
    FaultLog* faults = nullptr;  // not null; outlives the data set
  };

  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;

  // Reads image `index`, 0 <= index < size(). The same index always gives the same sample. Safe to
  // call from several threads at once. An image that cannot be read is a status that names the file.
  virtual Status Get(int64_t index, Sample* sample) const = 0;

  // The same, where the image is a JPEG and the data set can, not decoded: for loaders that have a device decode it.
  virtual Status GetEncoded(int64_t index, Sample* sample) const { return Get(index, sample); }

  // Labels are indices into this list.
  virtual const std::vector<std::string>& class_names() const = 0;

  // What each label is in annotations and results of the data set's format: COCO's category ids.
  virtual std::vector<int64_t> category_ids() const {
    std::vector<int64_t> ids;
    for (size_t label = 0; label < class_names().size(); ++label) ids.push_back(static_cast<int64_t>(label) + 1);
    return ids;
  }

  // The largest number of objects in any one image, without crowds; batches are padded to it.
  virtual int max_objects() const = 0;
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_DATASET_H_

// What takes the place of an image that cannot be read.
#ifndef TRIREME_DATA_LOADER_FIRST_READABLE_H_
#define TRIREME_DATA_LOADER_FIRST_READABLE_H_

#include <cstdint>

#include "core/api/dataset.h"
#include "core/base/fault_log.h"
#include "core/base/status.h"

namespace trireme {

// Calls read(i, &sample), with a sample of its own each, for image i = `index` of the data set and then for those after
// it, the first after the last, until it returns OK; what it does not is counted in `faults`, by the sample's name.
// Where none can be read, the first status.
template <class Read>
Status FirstReadable(const Dataset& dataset, int64_t index, FaultLog* faults, const Read& read) {
  Status first;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const int64_t at = (index + i) % dataset.size();
    Sample sample;
    const Status status = read(at, &sample);
    if (status.ok()) return status;
    faults->Add(absl::IsInternal(status) ? "image that a component spoils" : "image does not decode",
                sample.name.empty() ? absl::StrCat("image ", at) : sample.name,
                absl::StrCat(status.message(), "; the next one takes its place"));
    first.Update(status);
  }
  return first;
}

}  // namespace trireme

#endif  // TRIREME_DATA_LOADER_FIRST_READABLE_H_

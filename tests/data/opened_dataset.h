// Data sets that are expected to open, and samples that are expected to be there.
#ifndef TRIREME_TESTS_DATA_OPENED_DATASET_H_
#define TRIREME_TESTS_DATA_OPENED_DATASET_H_

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "core/api/dataset.h"

namespace trireme {

inline std::unique_ptr<Dataset> Opened(StatusOr<std::unique_ptr<Dataset>> dataset) {
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  return dataset.ok() ? *std::move(dataset) : nullptr;
}

inline Sample Get(const Dataset& dataset, int64_t index) {
  Sample sample;
  const Status status = dataset.Get(index, &sample);
  EXPECT_TRUE(status.ok()) << status;
  return sample;
}

}  // namespace trireme

#endif  // TRIREME_TESTS_DATA_OPENED_DATASET_H_

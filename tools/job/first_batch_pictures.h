// Pictures of what a detector is trained on.
#ifndef TRIREME_TOOLS_JOB_FIRST_BATCH_PICTURES_H_
#define TRIREME_TOOLS_JOB_FIRST_BATCH_PICTURES_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/batch.h"

namespace trireme {

// Hands on the batches of another source, and writes the first images of the first of them, as the model gets them,
// with their boxes, as `folder`/NNN.jpg. That waits for the device. Pictures that cannot be written are no reason to
// stop: a warning is logged.
class FirstBatchPictures : public BatchSource {
 public:
  // `of` and `class_names` outlive this. At most `count` pictures, and no folder where it is 0.
  FirstBatchPictures(BatchSource* of, const std::vector<std::string>& class_names, int count, std::string folder)
      : of_(*of), class_names_(class_names), left_(count), folder_(std::move(folder)) {}

  Status Next(int64_t step, Batch* batch) override;
  double wait_seconds() const override { return of_.wait_seconds(); }

 private:
  Status Write(const Batch& batch) const;

  BatchSource& of_;
  const std::vector<std::string>& class_names_;
  int left_;
  const std::string folder_;
};

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_FIRST_BATCH_PICTURES_H_

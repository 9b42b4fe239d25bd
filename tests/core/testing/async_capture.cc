#include "tests/core/testing/async_capture.h"

namespace trireme::testing {

void AsyncCapture::Join(const Lane* lane) {
  lines_.emplace(lane, static_cast<int>(names_.size()));
  names_.push_back(lane->name);
  done_.emplace_back();
}

void AsyncCapture::Run(const Lane* lane, std::function<void()> work) {
  const int line = lines_.at(lane);
  CapturedStep step;
  step.line = line;
  step.run = std::make_shared<const std::function<void()>>(std::move(work));
  steps_.push_back(std::move(step));
  done_[line].insert(static_cast<int>(line_of_work_.size()));
  line_of_work_.push_back(line);
}

int AsyncCapture::Record(const Lane* lane) {
  CapturedStep step;
  step.line = lines_.at(lane);
  step.record = static_cast<int>(points_.size());
  points_.push_back(done_[step.line]);
  steps_.push_back(step);
  return step.record;
}

void AsyncCapture::Wait(const Lane* lane, int point) {
  CapturedStep step;
  step.line = lines_.at(lane);
  step.wait = point;
  steps_.push_back(step);
  done_[step.line].insert(points_[point].begin(), points_[point].end());
}

Status AsyncCapture::Spoil(const Status& fault) {
  if (fault_.ok()) fault_ = fault;
  return fault;
}

Status AsyncCapture::Check() const {
  if (!fault_.ok()) return fault_;
  for (int piece = 0; piece < static_cast<int>(line_of_work_.size()); ++piece) {
    if (done_[0].count(piece) == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("the capture ended, but the compute stream does not wait for "
                       "work of stream ",
                       names_[line_of_work_[piece]]));
    }
  }
  return absl::OkStatus();
}

}  // namespace trireme::testing

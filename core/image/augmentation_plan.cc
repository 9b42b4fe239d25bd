#include "core/image/augmentation_plan.h"

#include <glog/logging.h>

#include <algorithm>

#include "core/image/colour.h"

namespace trireme {
namespace {

AugmentationPlan::Range Covered(const AugmentationPlan::Axis& axis, int size) {
  const double a = axis.At(0), b = axis.At(size);
  return {std::min(a, b), std::max(a, b)};
}

AugmentationPlan::Range Overlap(const AugmentationPlan::Range& a, const AugmentationPlan::Range& b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

// Position p of `axis` was `begin + p * step` before.
void Substitute(double begin, double step, AugmentationPlan::Axis* axis) {
  axis->offset += axis->scale * begin;
  axis->scale *= step;
}

}  // namespace

AugmentationPlan::AugmentationPlan(int width, int height)
    : width_(width),
      height_(height),
      source_width_(width),
      source_height_(height),
      visible_x_{0, static_cast<double>(width)},
      visible_y_{0, static_cast<double>(height)} {}

bool AugmentationPlan::is_identity() const {
  return width_ == source_width_ && height_ == source_height_ && !transposed_ && columns_.scale == 1 &&
         columns_.offset == 0 && rows_.scale == 1 && rows_.offset == 0 && colours_.empty() && !ShowsFill();
}

AugmentationPlan::Range AugmentationPlan::CoveredX() const {
  return transposed_ ? Covered(rows_, height_) : Covered(columns_, width_);
}

AugmentationPlan::Range AugmentationPlan::CoveredY() const {
  return transposed_ ? Covered(columns_, width_) : Covered(rows_, height_);
}

bool AugmentationPlan::ShowsFill() const {
  constexpr double kRounding = 1e-6;
  const auto beyond = [](const Range& covered, const Range& visible) {
    return covered.begin < visible.begin - kRounding || covered.end > visible.end + kRounding;
  };
  return beyond(CoveredX(), visible_x_) || beyond(CoveredY(), visible_y_);
}

bool AugmentationPlan::ShowWindow(const Box& window, int width, int height, const Colour& fill) {
  CHECK(width > 0 && height > 0);
  CHECK(window.width() > 0 && window.height() > 0);
  const bool grows = window.x1 < 0 || window.y1 < 0 || window.x2 > static_cast<float>(width_) ||
                     window.y2 > static_cast<float>(height_);
  if (grows) {
    const bool same = std::equal(fill_, fill_ + 3, fill.begin());
    if (ShowsFill() && !same) return false;
    std::copy(fill.begin(), fill.end(), fill_);
  }
  visible_x_ = Overlap(visible_x_, CoveredX());
  visible_y_ = Overlap(visible_y_, CoveredY());
  const double x1 = window.x1, y1 = window.y1;
  Substitute(x1, (window.x2 - x1) / width, &columns_);
  Substitute(y1, (window.y2 - y1) / height, &rows_);
  width_ = width;
  height_ = height;
  return true;
}

void AugmentationPlan::MirrorLeftRight() { Substitute(width_, -1, &columns_); }

void AugmentationPlan::MirrorTopBottom() { Substitute(height_, -1, &rows_); }

void AugmentationPlan::TurnQuarter() {
  MirrorTopBottom();
  std::swap(columns_, rows_);
  std::swap(width_, height_);
  transposed_ = !transposed_;
}

bool AugmentationPlan::AddColour(const ColourOperation& operation) {
  for (const int32_t from : operation.from) CHECK(from >= 0 && from < 3) << from;
  if (static_cast<int>(colours_.size()) == kMaxColourOperations) return false;
  colours_.push_back(operation);
  ApplyColour<1>(operation, fill_, fill_ + 1, fill_ + 2);
  return true;
}

}  // namespace trireme

// The extents of a tensor, outermost first. A small value type; at most 6 dimensions.
#ifndef TRIREME_CORE_TENSOR_SHAPE_H_
#define TRIREME_CORE_TENSOR_SHAPE_H_

#include <glog/logging.h>

#include <cstdint>
#include <initializer_list>
#include <string>

namespace trireme {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) {
    for (int64_t extent : extents) Append(extent);
  }

  int rank() const { return rank_; }
  // Negative indices count from the end: shape[-1] is the innermost extent.
  int64_t operator[](int dimension) const {
    const int d = dimension < 0 ? dimension + rank_ : dimension;
    DCHECK(d >= 0 && d < rank_) << dimension << " of " << ToString();
    return extents_[d];
  }
  // The number of elements; 1 for a scalar.
  int64_t size() const {
    int64_t n = 1;
    for (int d = 0; d < rank_; ++d) n *= extents_[d];
    return n;
  }
  void Append(int64_t extent) {
    CHECK_LT(rank_, kMaxRank);
    CHECK_GE(extent, 0);
    extents_[rank_++] = extent;
  }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int d = 0; d < rank_; ++d) {
      if (extents_[d] != other.extents_[d]) return false;
    }
    return true;
  }
  bool operator!=(const Shape& other) const { return !(*this == other); }
  // "[8, 38, 38, 512]"
  std::string ToString() const {
    std::string text = "[";
    for (int d = 0; d < rank_; ++d) text += (d ? ", " : "") + std::to_string(extents_[d]);
    return text + "]";
  }

 private:
  int rank_ = 0;
  int64_t extents_[kMaxRank] = {};
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.ToString(); }

}  // namespace trireme

#endif  // TRIREME_CORE_TENSOR_SHAPE_H_

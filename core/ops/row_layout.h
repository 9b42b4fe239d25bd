// Where the values of a band's rows lie. Private to core/ops.
#ifndef TRIREME_CORE_OPS_ROW_LAYOUT_H_
#define TRIREME_CORE_OPS_ROW_LAYOUT_H_

#include <cstdint>

namespace trireme::ops {

// Neighbouring channels that always lie together: a line of the caches.
inline constexpr int64_t kLineLanes = 16;

// Channel c of row r lies at r row + c / kLineLanes line + c % kLineLanes.
struct RowLayout {
  int64_t row, line;

  // Inlined always: see vectors.h.
  __attribute__((always_inline)) int64_t Of(int64_t channel) const {
    return channel / kLineLanes * line + channel % kLineLanes;
  }
};

// As in a tensor.
inline RowLayout TensorRows(int64_t channels) { return {channels, kLineLanes}; }

// Every line's rows one behind the other, `rows` of them: what walks along the rows of one line after the other reads
// memory in order, and whatever the number of channels uses all sets of the nearest cache.
inline RowLayout LineRows(int64_t rows) { return {kLineLanes, rows * kLineLanes}; }

// The floats of a band of rows laid out like that.
inline int64_t FloatsOfLineRows(int64_t rows, int64_t channels) {
  return rows * ((channels + kLineLanes - 1) / kLineLanes * kLineLanes);
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_ROW_LAYOUT_H_

#include "core/ops/sum_of_squares.h"

#include "core/ops/sums.h"

namespace trireme::ops {
namespace {

// An array is summed as rows of so many columns, which is what both devices are quick at.
constexpr int64_t kColumns = kTileLanes;

struct Squares {
  const float* x;

  template <int kLanes>
  TRIREME_HD void Tile(int64_t row, int64_t c, double* sums) const {
    const auto in = Load<kLanes>(x + row * kColumns + c);
    for (int l = 0; l < kLanes; ++l) sums[l] += static_cast<double>(in[l]) * in[l];
  }
};

}  // namespace

void AddSumOfSquares(const Tensor& values, const Tensor& sum, Stream& stream) {
  CHECK_EQ(sum.size(), 1);
  const int64_t rows = values.size() / kColumns, rest = values.size() % kColumns;
  const float* x = values.data<float>();
  const Tensor columns = ColumnSums<1>(stream, rows, kColumns, Squares{x});
  const double* of_column = columns.data<double>();
  const float* last = x + rows * kColumns;
  double* total = sum.data<double>();
  ParallelFor(stream, 1, [=] TRIREME_HD(int64_t) {
    double all = 0;
    for (int64_t c = 0; c < kColumns; ++c) all += of_column[c];
    for (int64_t i = 0; i < rest; ++i) all += static_cast<double>(last[i]) * last[i];
    total[0] += all;
  });
}

}  // namespace trireme::ops

#include "data/metrics/average_precision.h"

#include <glog/logging.h>

#include <algorithm>

namespace trireme {
namespace {

// The curve at each right detection: between them recall does not change. The k-th of them (from 1) has recall
// k / num_objects; envelope[k - 1] is the best precision there or further right.
std::vector<double> Envelope(const std::vector<bool>& correct, int64_t num_objects) {
  CHECK_GE(num_objects, 1);
  std::vector<double> precision;
  for (size_t i = 0; i < correct.size(); ++i) {
    if (correct[i]) precision.push_back(static_cast<double>(precision.size() + 1) / static_cast<double>(i + 1));
  }
  CHECK_LE(static_cast<int64_t>(precision.size()), num_objects);
  for (size_t k = precision.size(); k-- > 1;) precision[k - 1] = std::max(precision[k - 1], precision[k]);
  return precision;
}

// The mean of the envelope at recalls 0, step, 2 step ... 1. Whether k / num_objects reaches a recall is decided in
// float64, as the benchmarks' own programs do, also where the two are equal but for rounding.
double Sampled(const std::vector<bool>& correct, int64_t num_objects, int64_t steps, double step) {
  const std::vector<double> envelope = Envelope(correct, num_objects);
  double sum = 0;
  size_t k = 1;
  for (int64_t i = 0; i <= steps; ++i) {
    const double recall = static_cast<double>(i) * step;
    while (k <= envelope.size() && static_cast<double>(k) / static_cast<double>(num_objects) < recall) ++k;
    if (k <= envelope.size()) sum += envelope[k - 1];
  }
  return sum / static_cast<double>(steps + 1);
}

}  // namespace

double AveragePrecisionElevenPoints(const std::vector<bool>& correct, int64_t num_objects) {
  return Sampled(correct, num_objects, 10, 0.1);
}

double AveragePrecisionArea(const std::vector<bool>& correct, int64_t num_objects) {
  double sum = 0;
  for (const double precision : Envelope(correct, num_objects)) sum += precision;
  return sum / static_cast<double>(num_objects);
}

double AveragePrecisionCoco(const std::vector<bool>& correct, int64_t num_objects) {
  return Sampled(correct, num_objects, 100, 0.01);
}

}  // namespace trireme

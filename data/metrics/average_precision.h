// The area under a precision-recall curve, in the three ways that benchmarks define it.
//
// A curve is given by the detections of one class, best first, each right or wrong, and by the number of objects there
// were to find (at least 1). Pure functions; thread-safe.
#ifndef TRIREME_DATA_METRICS_AVERAGE_PRECISION_H_
#define TRIREME_DATA_METRICS_AVERAGE_PRECISION_H_

#include <cstdint>
#include <vector>

namespace trireme {

// Pascal VOC 2007: the mean, over recalls 0, 0.1 ... 1, of the best precision at that recall or beyond.
double AveragePrecisionElevenPoints(const std::vector<bool>& correct, int64_t num_objects);

// Pascal VOC 2010 and later: the exact area under the curve made monotonic.
double AveragePrecisionArea(const std::vector<bool>& correct, int64_t num_objects);

// COCO: the mean over recalls 0, 0.01 ... 1.
double AveragePrecisionCoco(const std::vector<bool>& correct, int64_t num_objects);

}  // namespace trireme

#endif  // TRIREME_DATA_METRICS_AVERAGE_PRECISION_H_

// What an evaluation found.
#ifndef TRIREME_CORE_TRAIN_EVALUATION_REPORT_H_
#define TRIREME_CORE_TRAIN_EVALUATION_REPORT_H_

#include <string>
#include <utility>
#include <vector>

namespace trireme {

// "mAP50", "AP50/circle", ... in a fixed order.
using EvaluationReport = std::vector<std::pair<std::string, double>>;

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_EVALUATION_REPORT_H_

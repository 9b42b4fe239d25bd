// Evaluation of a detector on a data set, shared between the workers of a job.
#ifndef TRIREME_TOOLS_JOB_EVALUATE_H_
#define TRIREME_TOOLS_JOB_EVALUATE_H_

#include <atomic>
#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/dataset.h"
#include "core/base/fault_log.h"
#include "core/config/config.pb.h"
#include "core/train/trainer.h"
#include "data/metrics/detection_evaluator.h"
#include "tools/job/detect_images.h"

namespace trireme {

// The detections of all images beside what is annotated. Of `config`, evaluation and loader count.
//
// Collective: rank r takes the images i with i mod size = r, and all get the same, which does not depend on the number
// of workers. An image that cannot be read is counted in `faults` and left out.
//
// The ranks meet once a second, after a batch: so none waits longer for a slower one than a second and a batch take,
// hears soon of one that is gone, and all end in the same round with Cancelled where `stop_requested` (null: nobody can
// ask) is set on one of them.
StatusOr<DetectionEvaluator> DetectAll(const ReadyDetector& ready, const Dataset& data, const Config& config,
                                       Communicator& communicator, FaultLog* faults,
                                       const std::atomic<bool>* stop_requested);

// What is said of them: "mAP50" and "AP50/CLASS" by VOC's rules; by COCO's "mAP", "mAP50/COCO", "mAP75", "mAP/small"
// and so on, the average recall "AR1", "AR10", "AR100", "AR/small" and so on, and "AP/CLASS".
EvaluationReport MakeReport(const DetectionEvaluator& evaluator, const std::vector<std::string>& class_names,
                            const EvaluationConfig& config);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_EVALUATE_H_

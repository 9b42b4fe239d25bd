// Evaluation of a detector on a data set, shared between the workers of a job.
#ifndef TRIREME_TOOLS_JOB_EVALUATE_H_
#define TRIREME_TOOLS_JOB_EVALUATE_H_

#include <atomic>
#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/dataset.h"
#include "core/api/detector.h"
#include "core/config/config.pb.h"
#include "core/train/trainer.h"
#include "data/metrics/detection_evaluator.h"

namespace trireme {

// `precision` is the one that the detector's arena was built for.
//
// Collective: rank r takes the images i with i mod size = r, and all get the same report, which does not depend on the
// number of workers. An image that cannot be read is counted in `faults` and left out. `threads` threads read ahead.
//
// The ranks meet after every batch, or after a second where images come slowly: so none waits longer for a slower one
// than that takes, hears soon of one that is gone, and all end in the same round with Cancelled where `stop_requested`
// (null: nobody can ask) is set on one of them.
StatusOr<EvaluationReport> EvaluateDetector(Detector& detector, const Dataset& data, const EvaluationConfig& config,
                                            int threads, Precision precision, Device& device,
                                            Communicator& communicator, FaultLog* faults,
                                            const std::atomic<bool>* stop_requested);

// The first half of it: the detections of all images beside what is annotated.
StatusOr<DetectionEvaluator> DetectAll(Detector& detector, const Dataset& data, const EvaluationConfig& config,
                                       int threads, Precision precision, Device& device, Communicator& communicator,
                                       FaultLog* faults, const std::atomic<bool>* stop_requested);
// And the second.
EvaluationReport MakeReport(const DetectionEvaluator& evaluator, const std::vector<std::string>& class_names,
                            const EvaluationConfig& config);

// Detections of one image, in its own pixels.
StatusOr<Detections> DetectImage(Detector& detector, const Image& image, Precision precision, Device& device);

// Writes the first `count` images of `data` as `folder`/NNN.jpg, each twice side by side: with what is annotated, and
// with what the detector finds (score from `threshold`). Collective: rank 0 does so, and its peers wait, for each
// picture as long as they may. What is wrong is rank 0's status alone.
Status WritePictures(Detector& detector, const Dataset& data, int count, float threshold, Precision precision,
                     Device& device, Communicator& communicator, const std::string& folder);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_EVALUATE_H_

// Mean average precision of detections against annotated objects, by Pascal VOC's rules and by COCO's.
//
// VOC (Everingham et al., IJCV 2010, and its development kit): over all images, a class's detections are taken from the
// best score down. Each is compared with the object of its class and image that it overlaps most. Under the threshold
// it is wrong; a difficult object makes it count for nothing; the first on an object is right, the others are wrong.
//
// COCO (Lin et al., ECCV 2014, and its API): of each image and class the best 100 detections; each, best first, takes
// the object it overlaps most among those not taken yet, at thresholds 0.50, 0.55 ... 0.95; objects that do not count
// (here: difficult ones) are taken only where no other fits, and then the detection counts for nothing. A crowd is such
// an object that any number of detections may take, and they fit it by the share of their own area that lies in it.
// Small objects have an area of up to 32 x 32 pixels, medium ones up to 96 x 96, large ones more; those of other sizes
// do not count then, nor do detections of other sizes that take no object. Recall is that of the detections taken in,
// averaged over classes and thresholds.
//
// A class without objects that count has no average precision and is left out of the mean. Detections of equal score
// are ordered by image id, then as they were given: so the result does not depend on the order of Add, nor on how
// images were split between workers. Boxes are continuous (see Box): VOC's "+ 1" is in the reader. A score that is
// not finite counts as the worst.
//
// Labels outside of the classes are a programmer's error. Used by one thread at a time.
#ifndef TRIREME_DATA_METRICS_DETECTION_EVALUATOR_H_
#define TRIREME_DATA_METRICS_DETECTION_EVALUATOR_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/api/detection.h"
#include "core/api/sample.h"
#include "core/base/status.h"

namespace trireme {

struct ClassResult {
  double average_precision = 0;  // NaN for a class without objects that count
  int64_t objects = 0;           // that count
  int64_t difficult = 0;         // objects that do not
  int64_t right = 0, wrong = 0;  // detections, of any score
};

struct VocResult {
  double mean_average_precision = 0;  // 0 where no class has objects
  std::vector<ClassResult> classes;   // by label
};

struct CocoResult {
  double ap = 0;    // mean over classes and thresholds 0.50 ... 0.95; 0 where no class has objects
  double ap50 = 0;  // at threshold 0.50 alone
  double ap75 = 0;
  std::vector<double> class_ap;         // mean over thresholds; NaN for a class without objects that count
  double ar1 = 0, ar10 = 0, ar100 = 0;  // average recall with the best 1, 10, 100 detections of each image and class
  // By size; NaN where no object that counts has it.
  double ap_small = 0, ap_medium = 0, ap_large = 0;
  double ar_small = 0, ar_medium = 0, ar_large = 0;  // with the best 100
};

class DetectionEvaluator {
 public:
  struct ImageRecord {
    std::vector<Object> objects;
    Detections detections;
  };

  explicit DetectionEvaluator(int num_classes);

  // All of one image; its boxes in its pixels. An image that was added before is left as it was.
  void Add(int64_t image_id, const std::vector<Object>& objects, const Detections& detections);

  // Everything that was added, as bytes; and bytes of another evaluator added to this one. InvalidArgument if they are
  // none, or of another number of classes.
  std::string Serialize() const;
  Status Merge(const std::string& serialized);

  VocResult EvaluateVoc(double iou_threshold = 0.5, bool eleven_points = false) const;
  CocoResult EvaluateCoco() const;

  int64_t num_images() const { return static_cast<int64_t>(images_.size()); }
  int num_classes() const { return num_classes_; }
  // What was added, by image id.
  const std::map<int64_t, ImageRecord>& images() const { return images_; }

 private:
  int num_classes_;
  std::map<int64_t, ImageRecord> images_;
};

// Intersection over union; 0 for boxes without area.
double IntersectionOverUnion(const Box& a, const Box& b);

}  // namespace trireme

#endif  // TRIREME_DATA_METRICS_DETECTION_EVALUATOR_H_

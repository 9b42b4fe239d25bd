#include "data/metrics/detection_evaluator.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "data/metrics/average_precision.h"
#include "data/metrics/evaluation.pb.h"

namespace trireme {
namespace {

constexpr int kCocoThresholds = 10;
constexpr size_t kCocoMaxDetections = 100;  // of one image and class

double CocoThreshold(int index) { return 0.5 + 0.05 * index; }

double Area(const Box& box) { return (static_cast<double>(box.x2) - box.x1) * (static_cast<double>(box.y2) - box.y1); }

double Intersection(const Box& a, const Box& b) {
  const double width = std::min<double>(a.x2, b.x2) - std::max<double>(a.x1, b.x1);
  const double height = std::min<double>(a.y2, b.y2) - std::max<double>(a.y1, b.y1);
  return width > 0 && height > 0 ? width * height : 0;
}

// A detection's place in the ranking of its class, and what became of it.
struct Ranked {
  float score = 0;
  size_t place = 0;  // among the detections of its image, the best being 0
  bool counts = true;
  bool right = false;
};

// Best first. Ranks come in the order of images and within them: a stable sort keeps it for equal scores.
void SortByScore(std::vector<Ranked>* ranked) {
  std::stable_sort(ranked->begin(), ranked->end(), [](const Ranked& a, const Ranked& b) { return a.score > b.score; });
}

std::vector<bool> Curve(const std::vector<Ranked>& sorted) {
  std::vector<bool> correct;
  for (const Ranked& detection : sorted) {
    if (detection.counts) correct.push_back(detection.right);
  }
  return correct;
}

std::vector<const Detection*> SortedDetections(const Detections& detections, int label) {
  std::vector<const Detection*> sorted;
  for (const Detection& detection : detections) {
    if (detection.label == label) sorted.push_back(&detection);
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Detection* a, const Detection* b) { return a->score > b->score; });
  return sorted;
}

std::vector<const Object*> ObjectsOf(const std::vector<Object>& objects, int label) {
  std::vector<const Object*> found;
  for (const Object& object : objects) {
    if (object.label == label) found.push_back(&object);
  }
  return found;
}

void RankVoc(const std::vector<const Object*>& objects, const std::vector<const Detection*>& detections,
             double threshold, std::vector<Ranked>* ranked) {
  std::vector<bool> taken(objects.size());
  for (const Detection* detection : detections) {
    double best = -1;
    size_t nearest = 0;
    for (size_t i = 0; i < objects.size(); ++i) {
      const double overlap = IntersectionOverUnion(detection->box, objects[i]->box);
      if (overlap > best) {
        best = overlap;
        nearest = i;
      }
    }
    Ranked rank;
    rank.score = detection->score;
    if (!objects.empty() && best >= threshold) {
      rank.counts = !objects[nearest]->difficult;
      rank.right = rank.counts && !taken[nearest];
      taken[nearest] = true;
    }
    ranked->push_back(rank);
  }
}

// How well a detection fits: on a crowd, how much of the detection lies in it.
double CocoOverlap(const Box& detection, const Object& object) {
  if (!object.crowd) return IntersectionOverUnion(detection, object.box);
  const double area = Area(detection);
  return area > 0 ? Intersection(detection, object.box) / area : 0;
}

// Square pixels, both ends included.
struct AreaRange {
  double least, most;
  bool Has(double area) const { return area >= least && area <= most; }
};
constexpr double kNoEnd = 1e10;
// Boxes that are turned inside out are small.
constexpr AreaRange kAllAreas = {-kNoEnd, kNoEnd}, kSmall = {-kNoEnd, 32 * 32}, kMedium = {32 * 32, 96 * 96},
                    kLarge = {96 * 96, kNoEnd};

bool CountsFor(const Object& object, const AreaRange& range) {
  return !object.difficult && range.Has(object.area > 0 ? object.area : Area(object.box));
}

// One class in one image.
struct CocoImage {
  std::vector<const Object*> objects;
  std::vector<const Detection*> detections;  // best first
  std::vector<double> overlaps;              // [detections, objects]
};

CocoImage MakeCocoImage(const DetectionEvaluator::ImageRecord& record, int label) {
  CocoImage image{ObjectsOf(record.objects, label), SortedDetections(record.detections, label), {}};
  if (image.detections.size() > kCocoMaxDetections) image.detections.resize(kCocoMaxDetections);
  for (const Detection* detection : image.detections) {
    for (const Object* object : image.objects) image.overlaps.push_back(CocoOverlap(detection->box, *object));
  }
  return image;
}

void RankCoco(const CocoImage& image, const AreaRange& range, double threshold, std::vector<Ranked>* ranked) {
  const size_t num_objects = image.objects.size();
  // Those that count come first.
  std::vector<size_t> order(num_objects);
  std::iota(order.begin(), order.end(), size_t{0});
  const auto counts = [&](size_t i) { return CountsFor(*image.objects[i], range); };
  std::stable_partition(order.begin(), order.end(), counts);
  std::vector<bool> taken(num_objects);
  for (size_t d = 0; d < image.detections.size(); ++d) {
    double best = std::min(threshold, 1 - 1e-10);
    int64_t match = -1;
    for (const size_t i : order) {
      if (taken[i] && !image.objects[i]->crowd) continue;
      if (match >= 0 && counts(static_cast<size_t>(match)) && !counts(i)) break;
      const double overlap = image.overlaps[d * num_objects + i];
      if (overlap < best) continue;
      best = overlap;
      match = static_cast<int64_t>(i);
    }
    Ranked rank;
    rank.score = image.detections[d]->score;
    rank.place = d;
    if (match >= 0) {
      taken[static_cast<size_t>(match)] = true;
      rank.counts = rank.right = counts(static_cast<size_t>(match));
    } else {
      rank.counts = range.Has(Area(image.detections[d]->box));
    }
    ranked->push_back(rank);
  }
}

// One class, by threshold; NaN where no object counts.
struct CocoCurves {
  std::vector<double> precisions;
  std::vector<double> recalls[3];  // with the detections of kRecallDetections
};
constexpr size_t kRecallDetections[] = {1, 10, kCocoMaxDetections};

CocoCurves EvaluateClass(const std::vector<CocoImage>& images, const AreaRange& range) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  int64_t num_objects = 0;
  for (const CocoImage& image : images) {
    num_objects += std::count_if(image.objects.begin(), image.objects.end(),
                                 [&](const Object* object) { return CountsFor(*object, range); });
  }
  CocoCurves curves;
  for (int t = 0; t < kCocoThresholds; ++t) {
    std::vector<Ranked> ranked;
    if (num_objects > 0) {
      for (const CocoImage& image : images) RankCoco(image, range, CocoThreshold(t), &ranked);
    }
    SortByScore(&ranked);
    curves.precisions.push_back(num_objects > 0 ? AveragePrecisionCoco(Curve(ranked), num_objects) : kNone);
    for (size_t m = 0; m < std::size(kRecallDetections); ++m) {
      const auto right = std::count_if(ranked.begin(), ranked.end(), [&](const Ranked& detection) {
        return detection.right && detection.place < kRecallDetections[m];
      });
      curves.recalls[m].push_back(num_objects > 0 ? static_cast<double>(right) / static_cast<double>(num_objects)
                                                  : kNone);
    }
  }
  return curves;
}

// The mean of those that are numbers, or `of_none`.
double MeanOfNumbers(const std::vector<double>& values, double of_none = 0) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count == 0 ? of_none : sum / static_cast<double>(count);
}

Box BoxAt(const google::protobuf::RepeatedField<float>& corners, int index) {
  return {corners[4 * index], corners[4 * index + 1], corners[4 * index + 2], corners[4 * index + 3]};
}

void AddBox(const Box& box, google::protobuf::RepeatedField<float>* corners) {
  corners->Add(box.x1);
  corners->Add(box.y1);
  corners->Add(box.x2);
  corners->Add(box.y2);
}

}  // namespace

double IntersectionOverUnion(const Box& a, const Box& b) {
  const double intersection = Intersection(a, b);
  return intersection > 0 ? intersection / (Area(a) + Area(b) - intersection) : 0;
}

DetectionEvaluator::DetectionEvaluator(int num_classes) : num_classes_(num_classes) { CHECK_GE(num_classes, 1); }

void DetectionEvaluator::Add(int64_t image_id, const std::vector<Object>& objects, const Detections& detections) {
  for (const Object& object : objects) CHECK(object.label >= 0 && object.label < num_classes_) << object.label;
  ImageRecord record{objects, detections};
  for (Detection& detection : record.detections) {
    CHECK(detection.label >= 0 && detection.label < num_classes_) << detection.label;
    if (!std::isfinite(detection.score)) detection.score = std::numeric_limits<float>::lowest();
  }
  images_.emplace(image_id, std::move(record));
}

std::string DetectionEvaluator::Serialize() const {
  EvaluationShard shard;
  shard.set_num_classes(num_classes_);
  for (const auto& [id, record] : images_) {
    EvaluationShard::ImageRecord* image = shard.add_images();
    image->set_id(id);
    for (const Object& object : record.objects) {
      AddBox(object.box, image->mutable_object_corners());
      image->add_object_labels(object.label);
      image->add_object_difficult(object.difficult);
      image->add_object_crowd(object.crowd);
      image->add_object_areas(object.area);
    }
    for (const Detection& detection : record.detections) {
      AddBox(detection.box, image->mutable_detection_corners());
      image->add_detection_labels(detection.label);
      image->add_detection_scores(detection.score);
    }
  }
  return shard.SerializeAsString();
}

Status DetectionEvaluator::Merge(const std::string& serialized) {
  EvaluationShard shard;
  if (!shard.ParseFromString(serialized))
    return absl::InvalidArgumentError("these bytes are no shard of an evaluation");
  if (shard.num_classes() != num_classes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shard of ", shard.num_classes(), " classes does not fit to one of ", num_classes_));
  }
  for (const EvaluationShard::ImageRecord& image : shard.images()) {
    const int num_objects = image.object_labels_size(), num_detections = image.detection_labels_size();
    if (image.object_corners_size() != 4 * num_objects || image.object_difficult_size() != num_objects ||
        image.object_crowd_size() != num_objects || image.object_areas_size() != num_objects ||
        image.detection_corners_size() != 4 * num_detections || image.detection_scores_size() != num_detections) {
      return absl::InvalidArgumentError(absl::StrCat("image ", image.id(), " of the shard is incomplete"));
    }
    std::vector<Object> objects;
    for (int i = 0; i < num_objects; ++i) {
      objects.push_back({BoxAt(image.object_corners(), i), image.object_labels(i), image.object_difficult(i),
                         image.object_crowd(i), image.object_areas(i)});
    }
    Detections detections;
    for (int i = 0; i < num_detections; ++i) {
      detections.push_back({BoxAt(image.detection_corners(), i), image.detection_labels(i), image.detection_scores(i)});
    }
    Add(image.id(), objects, detections);
  }
  return absl::OkStatus();
}

VocResult DetectionEvaluator::EvaluateVoc(double iou_threshold, bool eleven_points) const {
  VocResult result;
  std::vector<double> precisions;
  for (int label = 0; label < num_classes_; ++label) {
    ClassResult of_class;
    std::vector<Ranked> ranked;
    for (const auto& [id, record] : images_) {
      const std::vector<const Object*> objects = ObjectsOf(record.objects, label);
      for (const Object* object : objects) ++(object->difficult ? of_class.difficult : of_class.objects);
      RankVoc(objects, SortedDetections(record.detections, label), iou_threshold, &ranked);
    }
    SortByScore(&ranked);
    const std::vector<bool> correct = Curve(ranked);
    of_class.right = std::count(correct.begin(), correct.end(), true);
    of_class.wrong = static_cast<int64_t>(correct.size()) - of_class.right;
    of_class.average_precision = of_class.objects == 0 ? std::numeric_limits<double>::quiet_NaN()
                                 : eleven_points       ? AveragePrecisionElevenPoints(correct, of_class.objects)
                                                       : AveragePrecisionArea(correct, of_class.objects);
    precisions.push_back(of_class.average_precision);
    result.classes.push_back(of_class);
  }
  result.mean_average_precision = MeanOfNumbers(precisions);
  return result;
}

CocoResult DetectionEvaluator::EvaluateCoco() const {
  constexpr AreaRange kSizes[] = {kSmall, kMedium, kLarge};
  // By class and threshold.
  std::vector<double> at50, at75, recalls[std::size(kRecallDetections)];
  std::vector<double> size_precisions[std::size(kSizes)], size_recalls[std::size(kSizes)];
  const auto append = [](const std::vector<double>& from, std::vector<double>* to) {
    to->insert(to->end(), from.begin(), from.end());
  };
  CocoResult result;
  for (int label = 0; label < num_classes_; ++label) {
    std::vector<CocoImage> images;
    for (const auto& [id, record] : images_) {
      CocoImage image = MakeCocoImage(record, label);
      if (!image.objects.empty() || !image.detections.empty()) images.push_back(std::move(image));
    }
    const CocoCurves all = EvaluateClass(images, kAllAreas);
    double sum = 0;
    for (const double precision : all.precisions) sum += precision;
    result.class_ap.push_back(sum / kCocoThresholds);
    at50.push_back(all.precisions[0]);
    at75.push_back(all.precisions[5]);
    for (size_t m = 0; m < std::size(kRecallDetections); ++m) append(all.recalls[m], &recalls[m]);
    for (size_t s = 0; s < std::size(kSizes); ++s) {
      const CocoCurves of_size = EvaluateClass(images, kSizes[s]);
      append(of_size.precisions, &size_precisions[s]);
      append(of_size.recalls[2], &size_recalls[s]);
    }
  }
  result.ap = MeanOfNumbers(result.class_ap);
  result.ap50 = MeanOfNumbers(at50);
  result.ap75 = MeanOfNumbers(at75);
  result.ar1 = MeanOfNumbers(recalls[0]);
  result.ar10 = MeanOfNumbers(recalls[1]);
  result.ar100 = MeanOfNumbers(recalls[2]);
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double* const precision_of[] = {&result.ap_small, &result.ap_medium, &result.ap_large};
  double* const recall_of[] = {&result.ar_small, &result.ar_medium, &result.ar_large};
  for (size_t s = 0; s < std::size(kSizes); ++s) {
    *precision_of[s] = MeanOfNumbers(size_precisions[s], kNone);
    *recall_of[s] = MeanOfNumbers(size_recalls[s], kNone);
  }
  return result;
}

}  // namespace trireme

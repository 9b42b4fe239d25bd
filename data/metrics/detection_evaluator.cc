#include "data/metrics/detection_evaluator.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>
#include <limits>

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

void RankCoco(std::vector<const Object*> objects, std::vector<const Detection*> detections,
              std::vector<Ranked> (*ranked)[kCocoThresholds]) {
  if (detections.size() > kCocoMaxDetections) detections.resize(kCocoMaxDetections);
  std::stable_partition(objects.begin(), objects.end(), [](const Object* object) { return !object->difficult; });
  std::vector<double> overlaps;
  for (const Detection* detection : detections) {
    for (const Object* object : objects) overlaps.push_back(CocoOverlap(detection->box, *object));
  }
  for (int t = 0; t < kCocoThresholds; ++t) {
    std::vector<bool> taken(objects.size());
    for (size_t d = 0; d < detections.size(); ++d) {
      double best = std::min(CocoThreshold(t), 1 - 1e-10);
      int match = -1;
      for (size_t i = 0; i < objects.size(); ++i) {
        if (taken[i] && !objects[i]->crowd) continue;
        if (match >= 0 && !objects[match]->difficult && objects[i]->difficult) break;
        const double overlap = overlaps[d * objects.size() + i];
        if (overlap < best) continue;
        best = overlap;
        match = static_cast<int>(i);
      }
      Ranked rank;
      rank.score = detections[d]->score;
      if (match >= 0) {
        taken[match] = true;
        rank.counts = !objects[match]->difficult;
        rank.right = rank.counts;
      }
      (*ranked)[t].push_back(rank);
    }
  }
}

// The mean of those that are numbers; 0 where none is.
double MeanOfNumbers(const std::vector<double>& values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
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
        image.object_crowd_size() != num_objects || image.detection_corners_size() != 4 * num_detections ||
        image.detection_scores_size() != num_detections) {
      return absl::InvalidArgumentError(absl::StrCat("image ", image.id(), " of the shard is incomplete"));
    }
    std::vector<Object> objects;
    for (int i = 0; i < num_objects; ++i) {
      objects.push_back(
          {BoxAt(image.object_corners(), i), image.object_labels(i), image.object_difficult(i), image.object_crowd(i)});
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
  CocoResult result;
  std::vector<double> at[kCocoThresholds];  // by class
  for (int label = 0; label < num_classes_; ++label) {
    std::vector<Ranked> ranked[kCocoThresholds];
    int64_t num_objects = 0;
    for (const auto& [id, record] : images_) {
      const std::vector<const Object*> objects = ObjectsOf(record.objects, label);
      num_objects += std::count_if(objects.begin(), objects.end(), [](const Object* o) { return !o->difficult; });
      RankCoco(objects, SortedDetections(record.detections, label), &ranked);
    }
    double sum = 0;
    for (int t = 0; t < kCocoThresholds; ++t) {
      SortByScore(&ranked[t]);
      at[t].push_back(num_objects == 0 ? std::numeric_limits<double>::quiet_NaN()
                                       : AveragePrecisionCoco(Curve(ranked[t]), num_objects));
      sum += at[t].back();
    }
    result.class_ap.push_back(sum / kCocoThresholds);
  }
  result.ap = MeanOfNumbers(result.class_ap);
  result.ap50 = MeanOfNumbers(at[0]);
  result.ap75 = MeanOfNumbers(at[5]);
  return result;
}

}  // namespace trireme

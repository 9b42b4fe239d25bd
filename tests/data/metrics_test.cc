#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>

#include "core/base/random.h"
#include "data/metrics/average_precision.h"
#include "data/metrics/detection_evaluator.h"

namespace trireme {
namespace {

Object MakeObject(const Box& box, int label = 0, bool difficult = false) {
  Object object;
  object.box = box;
  object.label = label;
  object.difficult = difficult;
  return object;
}

TEST(AveragePrecision, ByHand) {
  // Right, wrong, right, wrong, right of 4 objects: precisions 1, 2/3, 3/5 at recalls 1/4, 2/4, 3/4.
  const std::vector<bool> curve = {true, false, true, false, true};
  EXPECT_NEAR(AveragePrecisionArea(curve, 4), (1 + 2 / 3.0 + 3 / 5.0) / 4, 1e-12);
  // Recalls 0, .1, .2 | .3, .4, .5 | .6, .7 | .8, .9, 1.
  EXPECT_NEAR(AveragePrecisionElevenPoints(curve, 4), (3 * 1 + 3 * 2 / 3.0 + 2 * 3 / 5.0) / 11, 1e-12);
  // 0 .. .25: 26 points, .26 .. .50: 25, .51 .. .75: 25.
  EXPECT_NEAR(AveragePrecisionCoco(curve, 4), (26 + 25 * 2 / 3.0 + 25 * 3 / 5.0) / 101, 1e-12);
}

TEST(AveragePrecision, PrecisionIsMadeMonotonic) {
  // Precisions 1/2, 2/3, 3/4 at recalls 1/3, 2/3, 1: all become 3/4.
  const std::vector<bool> curve = {false, true, true, true};
  EXPECT_NEAR(AveragePrecisionArea(curve, 3), 0.75, 1e-12);
  EXPECT_NEAR(AveragePrecisionElevenPoints(curve, 3), 0.75, 1e-12);
  EXPECT_NEAR(AveragePrecisionCoco(curve, 3), 0.75, 1e-12);
}

TEST(AveragePrecision, Ends) {
  EXPECT_EQ(AveragePrecisionArea({}, 3), 0);
  EXPECT_EQ(AveragePrecisionElevenPoints({false, false}, 3), 0);
  EXPECT_EQ(AveragePrecisionCoco({}, 1), 0);
  for (const int n : {1, 3, 10, 101}) {
    EXPECT_NEAR(AveragePrecisionArea(std::vector<bool>(n, true), n), 1, 1e-12);
    EXPECT_NEAR(AveragePrecisionElevenPoints(std::vector<bool>(n, true), n), 1, 1e-12);
    EXPECT_NEAR(AveragePrecisionCoco(std::vector<bool>(n, true), n), 1, 1e-12);
  }
}

TEST(IntersectionOverUnion, ByHand) {
  EXPECT_DOUBLE_EQ(IntersectionOverUnion({0, 0, 2, 2}, {1, 1, 3, 3}), 1.0 / 7);
  EXPECT_DOUBLE_EQ(IntersectionOverUnion({0, 0, 2, 2}, {0, 0, 2, 2}), 1);
  EXPECT_DOUBLE_EQ(IntersectionOverUnion({0, 0, 2, 2}, {2, 0, 4, 2}), 0);
  EXPECT_DOUBLE_EQ(IntersectionOverUnion({0, 0, 0, 2}, {0, 0, 0, 2}), 0);
}

TEST(Voc, ByHand) {
  DetectionEvaluator evaluator(3);
  // Image 1: two objects of class 0, one of class 1. Image 2: one of class 0, and a difficult one.
  evaluator.Add(1, {MakeObject({0, 0, 10, 10}), MakeObject({20, 0, 30, 10}), MakeObject({0, 20, 10, 30}, 1)},
                {{{0, 0, 10, 9}, 0, 0.9f},      // right: 0.9
                 {{0, 0, 10, 8}, 0, 0.8f},      // wrong: that one is found already
                 {{20, 0, 30, 5}, 0, 0.7f},     // right: exactly 0.5
                 {{20, 0, 30, 4.9f}, 0, 0.6f},  // wrong: under 0.5
                 {{0, 20, 10, 30}, 0, 0.5f}});  // wrong: another class
  evaluator.Add(2, {MakeObject({0, 0, 10, 10}), MakeObject({20, 20, 30, 30}, 0, true)},
                {{{20, 20, 30, 30}, 0, 0.95f},   // nothing: difficult
                 {{20, 20, 30, 29}, 0, 0.94f},   // nothing: difficult ones are never used up
                 {{1, 0, 10, 10}, 0, 0.1f},      // right
                 {{50, 50, 60, 60}, 2, 0.9f}});  // wrong, of a class without objects
  const VocResult result = evaluator.EvaluateVoc();
  ASSERT_EQ(result.classes.size(), 3u);
  const ClassResult& first = result.classes[0];
  EXPECT_EQ(first.objects, 3);
  EXPECT_EQ(first.difficult, 1);
  EXPECT_EQ(first.right, 3);
  EXPECT_EQ(first.wrong, 3);
  // Right, wrong, right, wrong, wrong, right: 1, 2/3, 3/6.
  EXPECT_NEAR(first.average_precision, (1 + 2 / 3.0 + 0.5) / 3, 1e-12);
  EXPECT_EQ(result.classes[1].average_precision, 0);
  EXPECT_TRUE(std::isnan(result.classes[2].average_precision));
  EXPECT_EQ(result.classes[2].wrong, 1);
  EXPECT_NEAR(result.mean_average_precision, first.average_precision / 2, 1e-12);
}

TEST(Voc, TheMostOverlappedObjectIsTakenEvenIfAnotherWouldStillFit) {
  DetectionEvaluator evaluator(1);
  evaluator.Add(1, {MakeObject({0, 0, 10, 10}), MakeObject({0, 0, 10, 14})},
                {{{0, 0, 10, 10}, 0, 0.9f}, {{0, 0, 10, 11}, 0, 0.8f}});
  const VocResult voc = evaluator.EvaluateVoc();
  EXPECT_EQ(voc.classes[0].right, 1);
  EXPECT_EQ(voc.classes[0].wrong, 1);
  // COCO's rule gives the second detection the object that is left.
  EXPECT_NEAR(evaluator.EvaluateCoco().ap50, 1, 1e-12);
}

TEST(Coco, ByHand) {
  DetectionEvaluator evaluator(2);
  // An overlap of 0.8 counts at 0.50 ... 0.80: 7 of 10 thresholds.
  evaluator.Add(1, {MakeObject({0, 0, 10, 10})}, {{{0, 0, 10, 8}, 0, 0.9f}});
  const CocoResult result = evaluator.EvaluateCoco();
  EXPECT_NEAR(result.ap50, 1, 1e-12);
  EXPECT_NEAR(result.ap75, 1, 1e-12);
  EXPECT_NEAR(result.ap, 0.7, 1e-12);
  EXPECT_TRUE(std::isnan(result.class_ap[1]));
}

TEST(Coco, ACrowdTakesAnyNumberOfDetectionsThatLieInIt) {
  Object crowd = MakeObject({20, 20, 100, 100}, 0, /*difficult=*/true);
  crowd.crowd = true;
  // The first is wrong, three lie in the crowd and count for nothing (of the third 60 %), the last is right.
  const Detections detections = {{{150, 150, 160, 160}, 0, 0.9f},
                                 {{20, 20, 30, 30}, 0, 0.8f},
                                 {{50, 50, 60, 60}, 0, 0.7f},
                                 {{94, 40, 104, 50}, 0, 0.6f},
                                 {{0, 0, 10, 10}, 0, 0.5f}};
  DetectionEvaluator evaluator(1);
  evaluator.Add(1, {crowd, MakeObject({0, 0, 10, 10})}, detections);
  DetectionEvaluator merged(1);
  ASSERT_TRUE(merged.Merge(evaluator.Serialize()).ok());
  for (const DetectionEvaluator* each : {&evaluator, &merged}) {
    const CocoResult result = each->EvaluateCoco();
    EXPECT_NEAR(result.ap50, 1 / 2.0, 1e-12);
    EXPECT_NEAR(result.ap75, 1 / 3.0, 1e-12);
  }
}

TEST(Coco, AHundredDetectionsOfAnImageCount) {
  DetectionEvaluator evaluator(1);
  Detections detections;
  for (int i = 0; i < 100; ++i) detections.push_back({{50, 50, 60, 60}, 0, 0.9f});
  detections.push_back({{0, 0, 10, 10}, 0, 0.1f});
  evaluator.Add(1, {MakeObject({0, 0, 10, 10})}, detections);
  EXPECT_EQ(evaluator.EvaluateCoco().ap50, 0);
  EXPECT_GT(evaluator.EvaluateVoc().mean_average_precision, 0);
}

// What is large has a small area of its own; what takes nothing counts in its own size alone.
TEST(Coco, SizesAreThoseOfTheObjects) {
  DetectionEvaluator evaluator(1);
  Object thin = MakeObject({0, 0, 200, 50});
  thin.area = 900;
  evaluator.Add(1, {thin}, {{{0, 0, 200, 50}, 0, 0.5f}, {{300, 0, 340, 40}, 0, 0.9f}});
  CocoResult result = evaluator.EvaluateCoco();
  EXPECT_EQ(result.ap_small, 1);
  EXPECT_EQ(result.ar_small, 1);
  for (const double none : {result.ap_medium, result.ap_large, result.ar_medium, result.ar_large}) {
    EXPECT_TRUE(std::isnan(none));
  }
  EXPECT_EQ(result.ap50, 0.5);
  EXPECT_EQ(result.ar1, 0);
  EXPECT_EQ(result.ar10, 1);
  evaluator.Add(2, {MakeObject({0, 0, 32, 32})}, {});
  result = evaluator.EvaluateCoco();
  EXPECT_EQ(result.ar_small, 0.5) << "32 x 32 is small,";
  EXPECT_EQ(result.ar_medium, 0) << "and medium, too";
}

TEST(Evaluator, NothingAtAll) {
  DetectionEvaluator evaluator(2);
  EXPECT_EQ(evaluator.EvaluateVoc().mean_average_precision, 0);
  EXPECT_EQ(evaluator.EvaluateCoco().ap, 0);
  evaluator.Add(1, {}, {});
  EXPECT_EQ(evaluator.EvaluateVoc().mean_average_precision, 0);
}

TEST(Evaluator, ScoresThatAreNoNumbersComeLast) {
  DetectionEvaluator evaluator(1);
  evaluator.Add(1, {MakeObject({0, 0, 10, 10})},
                {{{40, 40, 50, 50}, 0, std::numeric_limits<float>::quiet_NaN()}, {{0, 0, 10, 10}, 0, 0.01f}});
  EXPECT_EQ(evaluator.EvaluateVoc().mean_average_precision, 1);
}

struct Scene {
  int64_t id;
  std::vector<Object> objects;
  Detections detections;
};

// Detections are objects that were moved, and some that are made up; scores have ties.
std::vector<Scene> RandomScenes(int count, int classes, uint64_t seed) {
  Random random(seed, RandomUse::kSampling);
  std::vector<Scene> scenes;
  for (int i = 0; i < count; ++i) {
    Scene scene;
    scene.id = 1000 - 7 * i;
    const int objects = static_cast<int>(random.Below(7));
    for (int j = 0; j < objects; ++j) {
      const float x = random.Uniform(0, 50), y = random.Uniform(0, 50);
      const Box box = {x, y, x + random.Uniform(5, 40), y + random.Uniform(5, 40)};
      scene.objects.push_back(
          MakeObject(box, static_cast<int>(random.Below(static_cast<uint32_t>(classes))), random.Chance(0.2f)));
    }
    const int detections = static_cast<int>(random.Below(12));
    for (int j = 0; j < detections; ++j) {
      Detection detection;
      if (!scene.objects.empty() && random.Chance(0.8f)) {
        const Object& object = scene.objects[random.Below(static_cast<uint32_t>(scene.objects.size()))];
        detection.label = object.label;
        const float shake = random.Uniform(0, 6);
        detection.box = {object.box.x1 + random.Uniform(-shake, shake), object.box.y1 + random.Uniform(-shake, shake),
                         object.box.x2 + random.Uniform(-shake, shake), object.box.y2 + random.Uniform(-shake, shake)};
      } else {
        const float x = random.Uniform(0, 50), y = random.Uniform(0, 50);
        detection.box = {x, y, x + random.Uniform(5, 40), y + random.Uniform(5, 40)};
        detection.label = static_cast<int>(random.Below(static_cast<uint32_t>(classes)));
      }
      detection.score = static_cast<float>(random.Below(40)) / 40;
      scene.detections.push_back(detection);
    }
    scenes.push_back(scene);
  }
  return scenes;
}

DetectionEvaluator Filled(const std::vector<Scene>& scenes, int classes) {
  DetectionEvaluator evaluator(classes);
  for (const Scene& scene : scenes) evaluator.Add(scene.id, scene.objects, scene.detections);
  return evaluator;
}

// References, written from the benchmarks' definitions with nothing in common with the code under test: one list of all
// detections, curves as arrays over every detection.
double Overlap(const Box& a, const Box& b) {
  const double w = std::max(0.0, std::min<double>(a.x2, b.x2) - std::max<double>(a.x1, b.x1));
  const double h = std::max(0.0, std::min<double>(a.y2, b.y2) - std::max<double>(a.y1, b.y1));
  const double sum = (double(a.x2) - a.x1) * (double(a.y2) - a.y1) + (double(b.x2) - b.x1) * (double(b.y2) - b.y1);
  return w * h / (sum - w * h);
}

struct Entry {
  double score;
  int64_t image;
  size_t order;
  const Scene* scene;
};

std::vector<Entry> AllOfClass(const std::vector<Scene>& scenes, int label) {
  std::vector<Entry> all;
  for (const Scene& scene : scenes) {
    for (size_t d = 0; d < scene.detections.size(); ++d) {
      if (scene.detections[d].label == label) all.push_back({scene.detections[d].score, scene.id, d, &scene});
    }
  }
  std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) {
    return std::make_tuple(-a.score, a.image, a.order) < std::make_tuple(-b.score, b.image, b.order);
  });
  return all;
}

double ReferenceVoc(const std::vector<Scene>& scenes, int label, bool eleven_points) {
  double positives = 0;
  for (const Scene& scene : scenes) {
    for (const Object& object : scene.objects) positives += object.label == label && !object.difficult;
  }
  if (positives == 0) return -1;
  std::set<const Object*> found;
  std::vector<double> tp, fp;
  for (const Entry& entry : AllOfClass(scenes, label)) {
    const Object* nearest = nullptr;
    double best = 0;
    for (const Object& object : entry.scene->objects) {
      const double overlap = Overlap(object.box, entry.scene->detections[entry.order].box);
      if (object.label == label && overlap > best) {
        best = overlap;
        nearest = &object;
      }
    }
    double t = 0, f = 0;
    if (nearest != nullptr && best >= 0.5) {
      if (!nearest->difficult) (found.insert(nearest).second ? t : f) = 1;
    } else {
      f = 1;
    }
    tp.push_back(t + (tp.empty() ? 0 : tp.back()));
    fp.push_back(f + (fp.empty() ? 0 : fp.back()));
  }
  std::vector<double> recall = {0}, precision = {0};
  for (size_t i = 0; i < tp.size(); ++i) {
    recall.push_back(tp[i] / positives);
    precision.push_back(tp[i] + fp[i] > 0 ? tp[i] / (tp[i] + fp[i]) : 0);
  }
  recall.push_back(1);
  precision.push_back(0);
  double result = 0;
  if (eleven_points) {
    for (int t = 0; t <= 10; ++t) {
      double best = 0;
      for (size_t i = 1; i + 1 < recall.size(); ++i) {
        if (recall[i] >= t * 0.1) best = std::max(best, precision[i]);
      }
      result += best / 11;
    }
    return result;
  }
  for (size_t i = precision.size() - 1; i > 0; --i) precision[i - 1] = std::max(precision[i - 1], precision[i]);
  for (size_t i = 1; i < recall.size(); ++i) result += (recall[i] - recall[i - 1]) * precision[i];
  return result;
}

double ReferenceCoco(const std::vector<Scene>& scenes, int label, double threshold) {
  double positives = 0;
  for (const Scene& scene : scenes) {
    for (const Object& object : scene.objects) positives += object.label == label && !object.difficult;
  }
  if (positives == 0) return -1;
  std::set<const Object*> taken;
  std::vector<std::pair<double, double>> curve;  // recall, precision
  double tp = 0, fp = 0;
  for (const Entry& entry : AllOfClass(scenes, label)) {
    // Of those not taken yet and overlapped enough: the best that counts, else the best of the others.
    const Object* choice = nullptr;
    double best = -1;
    for (const bool difficult : {false, true}) {
      if (choice != nullptr) break;
      for (const Object& object : entry.scene->objects) {
        if (object.label != label || object.difficult != difficult || taken.count(&object) > 0) continue;
        const double overlap = Overlap(object.box, entry.scene->detections[entry.order].box);
        if (overlap >= threshold && overlap > best) {
          best = overlap;
          choice = &object;
        }
      }
    }
    if (choice == nullptr) {
      ++fp;
    } else {
      taken.insert(choice);
      if (!choice->difficult) ++tp;
    }
    if (tp + fp > 0) curve.emplace_back(tp / positives, tp / (tp + fp));
  }
  double result = 0;
  for (int i = 0; i <= 100; ++i) {
    double precision = 0;
    for (const auto& [r, p] : curve) {
      if (r >= i * 0.01) precision = std::max(precision, p);
    }
    result += precision / 101;
  }
  return result;
}

TEST(Evaluator, AgreesWithNaiveReferences) {
  constexpr int kClasses = 3;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const std::vector<Scene> scenes = RandomScenes(1 + static_cast<int>(seed % 25), kClasses, seed);
    const DetectionEvaluator evaluator = Filled(scenes, kClasses);
    const VocResult area = evaluator.EvaluateVoc(), eleven = evaluator.EvaluateVoc(0.5, true);
    const CocoResult coco = evaluator.EvaluateCoco();
    double voc_sum = 0, coco_sum = 0, coco50_sum = 0, coco75_sum = 0;
    int classes = 0;
    for (int label = 0; label < kClasses; ++label) {
      const double expected = ReferenceVoc(scenes, label, false);
      if (expected < 0) {
        EXPECT_TRUE(std::isnan(area.classes[label].average_precision));
        EXPECT_TRUE(std::isnan(coco.class_ap[label]));
        continue;
      }
      ++classes;
      voc_sum += expected;
      EXPECT_NEAR(area.classes[label].average_precision, expected, 1e-9) << "seed " << seed;
      EXPECT_NEAR(eleven.classes[label].average_precision, ReferenceVoc(scenes, label, true), 1e-9) << "seed " << seed;
      double mean = 0;
      for (int t = 0; t < 10; ++t) mean += ReferenceCoco(scenes, label, 0.5 + 0.05 * t) / 10;
      EXPECT_NEAR(coco.class_ap[label], mean, 1e-9) << "seed " << seed;
      coco_sum += mean;
      coco50_sum += ReferenceCoco(scenes, label, 0.5);
      coco75_sum += ReferenceCoco(scenes, label, 0.75);
    }
    if (classes == 0) continue;
    EXPECT_NEAR(area.mean_average_precision, voc_sum / classes, 1e-9);
    EXPECT_NEAR(coco.ap, coco_sum / classes, 1e-9);
    EXPECT_NEAR(coco.ap50, coco50_sum / classes, 1e-9);
    EXPECT_NEAR(coco.ap75, coco75_sum / classes, 1e-9);
  }
}

TEST(Evaluator, DoesNotDependOnHowImagesAreSplit) {
  const std::vector<Scene> scenes = RandomScenes(40, 2, 99);
  const DetectionEvaluator whole = Filled(scenes, 2);
  for (const size_t workers : {2u, 3u, 7u}) {
    std::vector<DetectionEvaluator> parts(workers, DetectionEvaluator(2));
    for (size_t i = 0; i < scenes.size(); ++i) {
      parts[i % workers].Add(scenes[i].id, scenes[i].objects, scenes[i].detections);
    }
    DetectionEvaluator merged(2);
    for (size_t w = workers; w-- > 0;) ASSERT_TRUE(merged.Merge(parts[w].Serialize()).ok());
    // A worker may have had an image that another had as well.
    ASSERT_TRUE(merged.Merge(parts[0].Serialize()).ok());
    EXPECT_EQ(merged.num_images(), 40);
    EXPECT_EQ(merged.EvaluateVoc().mean_average_precision, whole.EvaluateVoc().mean_average_precision);
    EXPECT_EQ(merged.EvaluateCoco().ap, whole.EvaluateCoco().ap);
    EXPECT_EQ(merged.Serialize(), whole.Serialize());
  }
}

TEST(Evaluator, RefusesWhatIsNoShard) {
  DetectionEvaluator evaluator(2);
  EXPECT_EQ(evaluator.Merge("rubbish").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(evaluator.Merge(DetectionEvaluator(3).Serialize()).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trireme

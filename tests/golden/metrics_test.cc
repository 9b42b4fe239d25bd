// COCO's evaluation against pycocotools: make_metrics_goldens.py.
#include <gtest/gtest.h>

#include "data/metrics/detection_evaluator.h"
#include "tests/golden/golden.h"

namespace trireme {
namespace {

// float32's rounding of the golden.
constexpr double kMostApart = 1e-6;

Box BoxOf(const float* corner_and_size) {
  return {corner_and_size[0], corner_and_size[1], corner_and_size[0] + corner_and_size[2],
          corner_and_size[1] + corner_and_size[3]};
}

TEST(MetricsGolden, CocoFiguresArePycocotools) {
  const Golden golden("coco_evaluation");
  const std::vector<float>&objects = golden.Values("objects"), &detections = golden.Values("detections");
  const std::vector<float>&summary = golden.Values("summary"), &by_class = golden.Values("by_class");
  ASSERT_EQ(summary.size(), 12u);
  std::map<int64_t, DetectionEvaluator::ImageRecord> images;
  constexpr size_t kObjectRow = 8, kDetectionRow = 7;
  for (size_t i = 0; i < objects.size(); i += kObjectRow) {
    Object object;
    object.label = static_cast<int>(objects[i + 1]);
    object.box = BoxOf(&objects[i + 2]);
    object.crowd = object.difficult = objects[i + 6] > 0;
    object.area = objects[i + 7];
    images[static_cast<int64_t>(objects[i])].objects.push_back(object);
  }
  for (size_t i = 0; i < detections.size(); i += kDetectionRow) {
    images[static_cast<int64_t>(detections[i])].detections.push_back(
        {BoxOf(&detections[i + 2]), static_cast<int>(detections[i + 1]), detections[i + 6]});
  }
  const int classes = static_cast<int>(by_class.size());
  DetectionEvaluator evaluator(classes);
  for (const auto& [id, record] : images) evaluator.Add(id, record.objects, record.detections);
  // Areas and crowds are part of what workers send one another.
  DetectionEvaluator received(classes);
  ASSERT_TRUE(received.Merge(evaluator.Serialize()).ok());
  const CocoResult result = received.EvaluateCoco();
  const double figures[] = {result.ap,  result.ap50, result.ap75,  result.ap_small, result.ap_medium, result.ap_large,
                            result.ar1, result.ar10, result.ar100, result.ar_small, result.ar_medium, result.ar_large};
  for (size_t i = 0; i < summary.size(); ++i) EXPECT_NEAR(figures[i], summary[i], kMostApart) << "figure " << i;
  for (int label = 0; label < classes; ++label) EXPECT_NEAR(result.class_ap[label], by_class[label], kMostApart);
}

}  // namespace
}  // namespace trireme

// What Darknet's yolo layer makes of a batch: its definition in plain loops and float64, for tests. Redmon, Farhadi:
// YOLOv3: An Incremental Improvement, 2018.
#ifndef TRIREME_TESTS_MODELS_YOLO_DARKNET_REFERENCE_H_
#define TRIREME_TESTS_MODELS_YOLO_DARKNET_REFERENCE_H_

#include <vector>

#include "core/api/sample.h"
#include "models/yolo/cells.h"

namespace trireme {

struct DarknetScene {
  std::vector<YoloMap> maps;  // whose strides divide the image
  YoloExtent image;
  int images = 0, objects = 0, classes = 0;
  std::vector<Box> boxes;          // [images, objects]
  std::vector<int32_t> labels;     // [images, objects]; -1 pads
  std::vector<float> predictions;  // [images, R, 5 + classes] by map, row, column, anchor
  double ignore_threshold = 0.7;

  int64_t rows() const;
};

struct DarknetResult {
  double box = 0, objectness = 0, classification = 0;  // summed over images
  std::vector<double> slopes;                          // of the sum of the three, by each prediction
  int assigned = 0, ignored = 0, shared = 0;           // predictions; shared: those of several objects
};

DarknetResult DarknetLosses(const DarknetScene& scene);

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_YOLO_DARKNET_REFERENCE_H_

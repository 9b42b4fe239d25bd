// What model/yolo asks of its heads.
#ifndef TRIREME_MODELS_YOLO_HEAD_H_
#define TRIREME_MODELS_YOLO_HEAD_H_

#include <vector>

#include "core/api/batch.h"
#include "core/api/detector.h"
#include "core/autograd/context.h"
#include "core/base/status.h"
#include "core/nn/module.h"
#include "models/nms/scored_boxes.h"
#include "models/yolo/cells.h"

namespace trireme {

// `maps` with the rows and columns of what the backbone has given.
inline std::vector<YoloMap> WithSizes(std::vector<YoloMap> maps, const std::vector<Var>& given) {
  CHECK_EQ(maps.size(), given.size());
  for (size_t k = 0; k < maps.size(); ++k) {
    maps[k].rows = given[k].dim(1);
    maps[k].columns = given[k].dim(2);
  }
  return maps;
}

class YoloHead : public Module {
 public:
  // Of the backbone's maps, and otherwise as Detector::Loss. Collective.
  virtual StatusOr<NamedLosses> Loss(Context& context, const std::vector<Var>& maps, const Batch& batch) = 0;
  // Every prediction's box, which may reach beyond the image, and its score in each class. No collective calls.
  virtual StatusOr<ScoredBoxes> Score(Context& context, const std::vector<Var>& maps) = 0;
};

}  // namespace trireme

#endif  // TRIREME_MODELS_YOLO_HEAD_H_

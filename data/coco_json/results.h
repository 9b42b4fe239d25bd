// results.json: detections in the format that COCO's evaluation reads, a list of
//   {"image_id": 3, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}
// Two further fields help people and do not disturb COCO's tools: "file_name", the
// image, and "category", the name of the class.
//
// Used by one thread.
#ifndef TRIREME_DATA_COCO_JSON_RESULTS_H_
#define TRIREME_DATA_COCO_JSON_RESULTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/api/detection.h"
#include "core/api/sample.h"

namespace trireme {

class CocoResults {
 public:
  // Boxes in pixels of `image`, to which they are clipped.
  void AddImage(int64_t image_id, const std::string& file_name, const Image& image, const Detections& detections);
  // The same without a name, of boxes that are left as they are.
  void AddImage(int64_t image_id, const Detections& detections);

  // One detection a line, images in the order they were added. `class_names` and `category_ids` by label; a label
  // without an id is label + 1.
  std::string ToJson(const std::vector<std::string>& class_names, const std::vector<int64_t>& category_ids) const;

 private:
  struct Entry {
    int64_t image_id = 0;
    std::string file_name;
    Detection detection;
  };
  std::vector<Entry> entries_;
};

}  // namespace trireme

#endif  // TRIREME_DATA_COCO_JSON_RESULTS_H_

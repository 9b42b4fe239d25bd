// A COCO annotation file as written: nothing is judged but whether it can be read.
#ifndef TRIREME_DATA_COCO_ANNOTATION_FILE_H_
#define TRIREME_DATA_COCO_ANNOTATION_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

// `fault` says why an entry means nothing ("it has no id", "bbox is not four numbers"); empty if it does.
struct CocoImage {
  int64_t id = 0;
  std::string file_name;
  int64_t width = 0, height = 0;
  std::string fault;
};

struct CocoCategory {
  int64_t id = 0;
  std::string name;
  std::string fault;
};

struct CocoAnnotation {
  int64_t image_id = 0, category_id = 0;
  double x = 0, y = 0, width = 0, height = 0;
  bool is_crowd = false;
  double area = 0;  // 0 where the file has none, or none that is a number above 0
  std::string fault;
};

// In the order of the file, so that an entry's index is its place.
struct CocoFile {
  std::vector<CocoImage> images;
  std::vector<CocoCategory> categories;
  std::vector<CocoAnnotation> annotations;
};

// NotFound where there is no such file; InvalidArgument, with line and column, for what is no JSON, and for JSON that
// is no object with these three lists. What else the file has is passed over.
StatusOr<CocoFile> ReadCocoFile(const std::string& path);

}  // namespace trireme

#endif  // TRIREME_DATA_COCO_ANNOTATION_FILE_H_

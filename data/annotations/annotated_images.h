// A data set whose annotations have been read and checked: a list of image files with their objects. What dataset/voc
// and dataset/coco end as.
//
// Get decodes the file. One of another size than the annotations were checked against is InvalidArgument. Immutable;
// any thread.
#ifndef TRIREME_DATA_ANNOTATIONS_ANNOTATED_IMAGES_H_
#define TRIREME_DATA_ANNOTATIONS_ANNOTATED_IMAGES_H_

#include <memory>
#include <string>
#include <vector>

#include "core/api/dataset.h"
#include "data/image/codec.h"

namespace trireme {

struct AnnotatedImage {
  int64_t id = 0;
  std::string path;
  ImageSize size;
  std::vector<Object> objects;
};

// `category_ids` of the classes, in their order; none: they count from 1.
std::unique_ptr<Dataset> MakeAnnotatedImages(std::vector<AnnotatedImage> images, std::vector<std::string> class_names,
                                             std::vector<int64_t> category_ids = {});

}  // namespace trireme

#endif  // TRIREME_DATA_ANNOTATIONS_ANNOTATED_IMAGES_H_

// What a detector finds in an image.
#ifndef TRIREME_CORE_API_DETECTION_H_
#define TRIREME_CORE_API_DETECTION_H_

#include <vector>

#include "core/api/sample.h"

namespace trireme {

struct Detection {
  Box box;          // pixels of the image that was given
  int label = 0;    // index into the class names
  float score = 0;  // in [0, 1]
};

// Of one image, best score first.
using Detections = std::vector<Detection>;

}  // namespace trireme

#endif  // TRIREME_CORE_API_DETECTION_H_

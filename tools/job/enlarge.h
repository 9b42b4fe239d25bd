// Pictures for people.
#ifndef TRIREME_TOOLS_JOB_ENLARGE_H_
#define TRIREME_TOOLS_JOB_ENLARGE_H_

#include <algorithm>

#include "core/image/render.h"

namespace trireme {

// Small pictures are enlarged, so that lines and labels can be read: by this factor.
inline int EnlargementOf(const Image& image) { return std::max(1, 400 / std::max(1, image.width)); }

inline Image Enlarge(const Image& image) {
  const int factor = EnlargementOf(image);
  return ResizeImage(image, image.width * factor, image.height * factor);
}

inline void Enlarge(float factor, Box* box) {
  *box = {box->x1 * factor, box->y1 * factor, box->x2 * factor, box->y2 * factor};
}

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_ENLARGE_H_

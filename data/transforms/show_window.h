// A window of a sample's image, with the objects in it.
#ifndef TRIREME_DATA_TRANSFORMS_SHOW_WINDOW_H_
#define TRIREME_DATA_TRANSFORMS_SHOW_WINDOW_H_

#include "core/api/sample.h"

namespace trireme {

// The window, in pixels of the image so far, becomes the whole of a width x height image; what lies beyond the image
// has the colour `fill`. Boxes move along and are cut to the result; objects of which less than the share `min_visible`
// is left, or no area, are removed.
void ShowWindow(const Box& window, int width, int height, const Colour& fill, float min_visible, Sample* sample);

}  // namespace trireme

#endif  // TRIREME_DATA_TRANSFORMS_SHOW_WINDOW_H_

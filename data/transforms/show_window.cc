#include "data/transforms/show_window.h"

#include <utility>
#include <vector>

#include "data/transforms/checks.h"

namespace trireme {

void ShowWindow(const Box& window, int width, int height, const Colour& fill, float min_visible, Sample* sample) {
  sample->ShowWindow(window, width, height, fill);
  const float scale_x = static_cast<float>(width) / window.width();
  const float scale_y = static_cast<float>(height) / window.height();
  std::vector<Object> kept;
  for (Object object : sample->objects) {
    const Box moved = {(object.box.x1 - window.x1) * scale_x, (object.box.y1 - window.y1) * scale_y,
                       (object.box.x2 - window.x1) * scale_x, (object.box.y2 - window.y1) * scale_y};
    object.box = ClipBox(moved, width, height);
    if (!(object.box.width() > 0 && object.box.height() > 0)) continue;
    if (object.box.area() < min_visible * moved.area()) continue;
    kept.push_back(object);
  }
  sample->objects = std::move(kept);
}

}  // namespace trireme

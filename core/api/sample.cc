#include "core/api/sample.h"

#include <glog/logging.h>

#include <utility>

#include "core/image/render.h"

namespace trireme {

void Sample::SetImage(Image image) {
  plan = AugmentationPlan(image.width, image.height);
  source = std::make_shared<const Image>(std::move(image));
}

const Image& Sample::Materialise() {
  CHECK(source != nullptr) << "a sample without an image";
  if (!plan.is_identity()) {
    Image image(plan.width(), plan.height());
    RenderImage(*source, plan, image.width, image.height, image.data.data());
    SetImage(std::move(image));
  }
  return *source;
}

void Sample::ShowWindow(const Box& window, int width, int height, const Colour& fill) {
  if (plan.ShowWindow(window, width, height, fill)) return;
  Materialise();
  CHECK(plan.ShowWindow(window, width, height, fill));
}

void Sample::AddColour(const ColourOperation& operation) {
  if (plan.AddColour(operation)) return;
  Materialise();
  CHECK(plan.AddColour(operation));
}

}  // namespace trireme

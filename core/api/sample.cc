#include "core/api/sample.h"

#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/image/render.h"

namespace trireme {

void Sample::SetImage(Image image) {
  plan = AugmentationPlan(image.width, image.height);
  source = std::make_shared<const Image>(std::move(image));
}

void Sample::SetEncoded(EncodedImage image) {
  plan = AugmentationPlan(image.width, image.height);
  source = nullptr;
  encoded = std::make_shared<const EncodedImage>(std::move(image));
}

Status Sample::Decode() {
  if (source != nullptr) return absl::OkStatus();
  CHECK(encoded != nullptr) << "a sample without an image";
  StatusOr<Image> image = encoded->decode(encoded->jpeg, name);
  if (image.ok() && (image->width != encoded->width || image->height != encoded->height)) {
    image = absl::InvalidArgumentError(absl::StrCat(name, ": its size is not the one in its header"));
  }
  if (!image.ok()) return image.status();
  source = std::make_shared<const Image>(*std::move(image));
  return absl::OkStatus();
}

const Image& Sample::Materialise() {
  if (const Status status = Decode(); !status.ok()) {
    fault = status;
    source = std::make_shared<const Image>(encoded->width, encoded->height);
  }
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

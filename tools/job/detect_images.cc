#include "tools/job/detect_images.h"

#include <algorithm>
#include <utility>

#include "core/base/trace.h"
#include "core/image/render.h"
#include "models/boxes/box_geometry.h"

namespace trireme {

PreparedImage PrepareImage(std::shared_ptr<const Image> image, const ImageSpec& spec) {
  PreparedImage prepared;
  prepared.width = image->width;
  prepared.height = image->height;
  prepared.extent = spec.ExtentOf(image->width, image->height, spec.keeps_aspect() ? spec.shorter_sides.back() : 0);
  prepared.pixels.resize(static_cast<size_t>(spec.height) * spec.width * 3);
  Sample sample;
  sample.plan = AugmentationPlan(image->width, image->height);
  sample.source = std::move(image);
  ShowWithin(spec, prepared.extent, &sample);
  RenderImage(*sample.source, sample.plan, spec.width, spec.height, prepared.pixels.data());
  return prepared;
}

StatusOr<std::vector<Detections>> DetectImages(const ReadyDetector& ready,
                                               const std::vector<const PreparedImage*>& images) {
  const ImageSpec spec = ready.detector.image_spec();
  const int64_t count = static_cast<int64_t>(images.size());
  std::vector<uint8_t> pixels;
  std::vector<float> extents;
  for (const PreparedImage* image : images) {
    pixels.insert(pixels.end(), image->pixels.begin(), image->pixels.end());
    extents.push_back(static_cast<float>(image->extent.height));
    extents.push_back(static_cast<float>(image->extent.width));
  }
  Context context(ready.device);
  context.precision = ready.precision;
  const Tensor batch = Tensor::From(ready.device, {count, spec.height, spec.width, 3}, pixels);
  const Tensor sizes = spec.keeps_aspect() ? Tensor::From(ready.device, {count, 2}, extents) : Tensor();
  const TraceSpan span(TraceKind::kForward, "detect");
  TRIREME_ASSIGN_OR_RETURN(std::vector<Detections> detections, ready.detector.Detect(context, batch, sizes));
  for (size_t i = 0; i < images.size(); ++i) {
    Detections& found = detections[i];
    for (Detection& detection : found) {
      detection.box = BoxFromExtent(detection.box, images[i]->width, images[i]->height, images[i]->extent);
    }
    // What lies beside the image, in the grey of a letterbox.
    found.erase(
        std::remove_if(found.begin(), found.end(), [](const Detection& detection) { return !HasArea(detection.box); }),
        found.end());
  }
  return detections;
}

StatusOr<Detections> DetectImage(const ReadyDetector& ready, const Image& image) {
  const PreparedImage prepared = PrepareImage(std::make_shared<const Image>(image), ready.detector.image_spec());
  TRIREME_ASSIGN_OR_RETURN(std::vector<Detections> detections, DetectImages(ready, {&prepared}));
  return std::move(detections[0]);
}

}  // namespace trireme

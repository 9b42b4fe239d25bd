#include "tools/job/detect_images.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/catch_exceptions.h"
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

namespace {

Status CheckDetections(const std::vector<Detections>& detections, size_t images, int num_classes) {
  if (detections.size() != images) {
    return absl::InternalError(
        absl::StrCat("the model gave detections of ", detections.size(), " images where it was given ", images));
  }
  for (const Detections& of_image : detections) {
    for (const Detection& detection : of_image) {
      if (detection.label < 0 || detection.label >= num_classes) {
        return absl::InternalError(
            absl::StrCat("the model gave a detection of label ", detection.label, ", of ", num_classes, " classes"));
      }
      const Box& box = detection.box;
      if (!(detection.score >= 0 && detection.score <= 1) || std::isnan(box.x1 + box.y1 + box.x2 + box.y2)) {
        return absl::InternalError(absl::StrCat("the model gave a detection of score ", detection.score, " at (",
                                                box.x1, ", ", box.y1, ")-(", box.x2, ", ", box.y2,
                                                "); scores are in [0, 1]"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

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
  std::vector<Detections> detections;
  TRIREME_RETURN_IF_ERROR(CatchExceptions("the model", [&] {
    return CatchDeviceError([&]() -> Status {
      TRIREME_ASSIGN_OR_RETURN(detections, ready.detector.Detect(context, batch, sizes));
      return absl::OkStatus();
    });
  }));
  TRIREME_RETURN_IF_ERROR(CheckDetections(detections, images.size(), ready.num_classes));
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

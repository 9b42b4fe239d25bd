// One image with its objects, as data sets give it, transforms change it and the loader batches it.
#ifndef TRIREME_CORE_API_SAMPLE_H_
#define TRIREME_CORE_API_SAMPLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/image/augmentation_plan.h"
#include "core/image/image.h"

namespace trireme {

struct Object {
  Box box;
  int label = 0;           // index into the data set's class names
  bool difficult = false;  // counted neither for nor against in VOC's evaluation
  // COCO's: the box is around many of the class that nobody told apart. It is difficult as well, is not trained on, and
  // any number of detections may lie in it.
  bool crowd = false;
  // Square pixels of the image as it was read that are the object's own, which COCO's evaluation calls small or large by;
  // 0: those of its box.
  float area = 0;
};

// A JPEG that nobody has decoded yet.
struct EncodedImage {
  std::string jpeg;
  int width = 0, height = 0;
  // Decodes `jpeg`, on the CPU.
  StatusOr<Image> (*decode)(absl::string_view jpeg, const std::string& name) = nullptr;
};

// The image is kept as it was decoded, with the plan of what is to become of it: transforms change the plan, and the
// pixels of the result are made once, at the detector's size (core/image/render.h). Copies share the source.
struct Sample {
  std::shared_ptr<const Image> source;          // as decoded; others may hold it, so it never changes
  std::shared_ptr<const EncodedImage> encoded;  // where `source` is null: of Dataset::GetEncoded
  AugmentationPlan plan;
  std::vector<Object> objects;  // in pixels of the image so far
  int64_t id = 0;               // unique within its data set and stable between runs
  std::string name;             // the file, or what stands for it; for messages and pictures
  int64_t step = 0;             // of training, that it is made for; set by the loader

  // Of the image so far.
  int width() const { return plan.width(); }
  int height() const { return plan.height(); }

  // `image` becomes the source, with nothing to be done to it.
  void SetImage(Image image);
  // Likewise, and it is left to others to decode it.
  void SetEncoded(EncodedImage image);
  // Makes `source` of `encoded` where there is none.
  Status Decode();
  // Materialises the plan: the pixels of the image so far, which then are the source. For transforms that need pixels;
  // the reference holds until the next change.
  // An image that does not decode is black then, and that is its `fault`.
  const Image& Materialise();
  Status fault;

  // As the plan's; where the plan cannot take them, it is materialised first. Boxes are the caller's business.
  void ShowWindow(const Box& window, int width, int height, const Colour& fill);
  void AddColour(const ColourOperation& operation);
};

}  // namespace trireme

#endif  // TRIREME_CORE_API_SAMPLE_H_

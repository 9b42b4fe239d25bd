// Detections of images of any size, in their own pixels.
#ifndef TRIREME_TOOLS_JOB_DETECT_IMAGES_H_
#define TRIREME_TOOLS_JOB_DETECT_IMAGES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/api/detector.h"

namespace trireme {

// A detector, the precision that its arena was built for, where, and how many classes it tells apart. Detector and
// device outlive it.
struct ReadyDetector {
  Detector& detector;
  const Precision precision;
  Device& device;
  const int num_classes;
};

// An image as the detector takes it, its size there, and before.
struct PreparedImage {
  int width = 0, height = 0;
  ImageExtent extent;
  std::vector<uint8_t> pixels;  // RGB, [height, width, 3] of the ImageSpec
};

// Any thread.
PreparedImage PrepareImage(std::shared_ptr<const Image> image, const ImageSpec& spec);

// As one batch; by image, each in the image's own pixels. Waits for the device. Internal for detections that break the
// contract (core/api/detector.h): not one entry an image, a label that is no class, a box or a score that is no number.
StatusOr<std::vector<Detections>> DetectImages(const ReadyDetector& ready,
                                               const std::vector<const PreparedImage*>& images);

StatusOr<Detections> DetectImage(const ReadyDetector& ready, const Image& image);

}  // namespace trireme

#endif  // TRIREME_TOOLS_JOB_DETECT_IMAGES_H_

// The built-in augmentations: SSD's (Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, section 2.2, and its
// released code) and a few more. Their messages say what each does: transforms.proto.
//
//   transform/photometric  transform/expand    transform/min_iou_crop  transform/flip
//   transform/rotate90     transform/resize    transform/scale_jitter  transform/mosaic
//
// All keep Transform's promise: boxes stay inside the image, or their objects are removed. All are immutable and
// thread-safe. A factory refuses numbers that make no sense with InvalidArgument.
#ifndef TRIREME_DATA_TRANSFORMS_TRANSFORMS_H_
#define TRIREME_DATA_TRANSFORMS_TRANSFORMS_H_

#include <memory>

#include "core/api/transform.h"
#include "core/base/status.h"
#include "data/transforms/transforms.pb.h"

namespace trireme {

StatusOr<std::unique_ptr<Transform>> MakePhotometric(const PhotometricConfig& config, const Transform::BuildArgs& args);
StatusOr<std::unique_ptr<Transform>> MakeExpand(const ExpandConfig& config, const Transform::BuildArgs& args);
StatusOr<std::unique_ptr<Transform>> MakeMinIouCrop(const MinIouCropConfig& config, const Transform::BuildArgs& args);
StatusOr<std::unique_ptr<Transform>> MakeFlip(const FlipConfig& config, const Transform::BuildArgs& args);
StatusOr<std::unique_ptr<Transform>> MakeRotate90(const Rotate90Config& config, const Transform::BuildArgs& args);
StatusOr<std::unique_ptr<Transform>> MakeScaleJitter(const ScaleJitterConfig& config, const Transform::BuildArgs& args);
StatusOr<std::unique_ptr<Transform>> MakeMosaic(const MosaicConfig& config, const Transform::BuildArgs& args);
StatusOr<std::unique_ptr<Transform>> MakeResize(const ResizeConfig& config, const Transform::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_DATA_TRANSFORMS_TRANSFORMS_H_

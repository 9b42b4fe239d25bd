// dataset/voc: images and annotations in the layout of Pascal VOC (Everingham et al., "The PASCAL Visual Object
// Classes (VOC) Challenge", IJCV 2010).
//
// Opening reads every annotation of the split and the header of every image. VOC's corners are 1-based and inclusive;
// ours are continuous, so (xmin, ymin, xmax, ymax) becomes (xmin - 1, ymin - 1, xmax, ymax). Boxes are clipped to the
// size that the image's own header gives, as the size in the annotation is often wrong. Where it has width and height
// exchanged, the boxes are those of a photo that was shown turned, by its EXIF orientation.
//
// What stops the opening: a missing root, split, annotation or image file (NotFound), a split without usable images, no
// class at all. What does not, but is counted in the fault log with "file:line": malformed XML, an image without a
// readable header and an annotation of a turned image (the image is left out), an image named twice, a wrong size in
// the annotation, an annotation without boxes (kept, for its background), a class that the config does not name
// (once, at its first object, with their number), a box that is no box or has no area or lies outside of its image
// (dropped), a box partly outside (clipped), a box given twice with the same class (one is kept), a configured class
// without any object.
//
// Sample.id is the image's line in the split file, from 0. A Dataset is immutable: Get is safe from any thread.
#ifndef TRIREME_DATA_VOC_VOC_H_
#define TRIREME_DATA_VOC_VOC_H_

#include <memory>

#include "core/api/dataset.h"
#include "data/voc/voc.pb.h"

namespace trireme {

StatusOr<std::unique_ptr<Dataset>> MakeVoc(const VocDatasetConfig& config, const Dataset::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_DATA_VOC_VOC_H_

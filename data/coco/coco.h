// dataset/coco: images and annotations in the format of COCO's "instances" files (Lin et al., "Microsoft COCO: Common
// Objects in Context", ECCV 2014).
//
// Opening reads the file and checks every annotation, and that every image is there. Boxes (x, y, width, height) are
// continuous already. Categories may have any ids, with gaps: labels count through the class names. Objects marked
// iscrowd are kept as crowds (Object::crowd), which are not trained on. Segmentations are passed over.
//
// What stops the opening: a missing root, file or image (NotFound), JSON that is malformed (with line and column), a
// file without usable images or categories, a class name of the config that no category has. What does not, but is
// counted in the fault log with its place in the file ("instances.json annotations[17]"): an entry without what it
// needs, an id given twice, an annotation of an image or a category that is not there, a category that the config does
// not name (once for all its objects), a box without area or outside of its image (dropped), a box partly outside
// (clipped; less than a tenth of a pixel is rounding), an object given twice, an image without objects (kept, if the
// config says so), a class without any.
//
// The sizes of images are the file's; an image that is of another is a fault when it is read, and left out then.
// Sample.id is the image's id in the file. A Dataset is immutable: Get is safe from any thread.
#ifndef TRIREME_DATA_COCO_COCO_H_
#define TRIREME_DATA_COCO_COCO_H_

#include <memory>

#include "core/api/dataset.h"
#include "core/base/status.h"
#include "data/coco/coco.pb.h"

namespace trireme {

StatusOr<std::unique_ptr<Dataset>> MakeCoco(const CocoDatasetConfig& config, const Dataset::BuildArgs& args);

}  // namespace trireme

#endif  // TRIREME_DATA_COCO_COCO_H_

// COCO's classes, and the outputs for them of torchvision's published detectors.
//
// COCO numbers its 80 categories from 1 to 90, with gaps. torchvision's detectors have an output for each number from 0
// to 90, where 0 is the background (and in RetinaNet nothing). Ours number the categories without gaps, as dataset/coco
// and Darknet do: label k is the (k+1)-th category by its id.
//
// Pure functions; any thread.
#ifndef TRIREME_TOOLS_CONVERSION_COCO_CLASSES_H_
#define TRIREME_TOOLS_CONVERSION_COCO_CLASSES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/train/safetensors.h"

namespace trireme {

// By label.
std::vector<std::string> CocoNames();
std::vector<int64_t> CocoIds();

// torchvision's arrays, where those that have 91 outputs for the classes of a box (Faster R-CNN's scores and offsets,
// RetinaNet's and SSD's scores for each anchor) keep the 80 that stand for a category, by their ids, behind the
// background's where there is one. Others are as they were.
SafetensorsContent KeepCocoCategories(const SafetensorsContent& theirs);

}  // namespace trireme

#endif  // TRIREME_TOOLS_CONVERSION_COCO_CLASSES_H_

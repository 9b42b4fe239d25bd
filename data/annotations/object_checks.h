// What becomes of the objects that annotations name, whatever their format: boxes are clipped to their image, what is
// given twice is kept once, and each such fault is counted with its place.
#ifndef TRIREME_DATA_ANNOTATIONS_OBJECT_CHECKS_H_
#define TRIREME_DATA_ANNOTATIONS_OBJECT_CHECKS_H_

#include <set>
#include <string>
#include <vector>

#include "core/api/sample.h"
#include "core/base/fault_log.h"
#include "core/base/status.h"
#include "data/image/codec.h"

namespace trireme {

// An object in its file, for messages.
struct ObjectPlace {
  std::string where;  // "Annotations/a.xml:37"
  std::string what;   // "dog (3, 4)-(10, 12)"
};

// The part of a box (continuous corners) inside its image. False, and counted, where there is none; counted also where
// more than `tolerance` pixels are cut off at a side.
bool ClipToImage(double x1, double y1, double x2, double y2, const ImageSize& size, double tolerance,
                 const ObjectPlace& place, FaultLog* faults, Box* box);

// Appends, unless an object of the same class and box is there: that is counted. Of one that is difficult and one that
// is not the latter is kept. A crowd and an object are two things, also on one box.
void AddObject(const Object& object, const ObjectPlace& place, FaultLog* faults, std::vector<Object>* objects);

// Counts the classes that no object has; `source` is the list that was read.
void ReportClassesWithoutObjects(const std::vector<std::string>& class_names, const std::set<int>& labels_seen,
                                 const std::string& source, FaultLog* faults);

// InvalidArgument for names of a config that are empty or there twice.
Status CheckClassNames(const std::vector<std::string>& class_names);

}  // namespace trireme

#endif  // TRIREME_DATA_ANNOTATIONS_OBJECT_CHECKS_H_

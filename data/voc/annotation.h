// One annotation file of Pascal VOC, as written: nothing is judged but whether it can be read.
#ifndef TRIREME_DATA_VOC_ANNOTATION_H_
#define TRIREME_DATA_VOC_ANNOTATION_H_

#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

struct VocObject {
  std::string name;
  bool difficult = false;
  // What the file says of it where that is neither 0 nor 1.
  std::string odd_difficult;
  // 1-based, both ends inclusive, as in the file.
  double xmin = 0, ymin = 0, xmax = 0, ymax = 0;
  // Why the corners above mean nothing ("no <bndbox>", "xmin is 'abc', not a number"); empty if they do.
  std::string fault;
  int line = 0;
};

struct VocAnnotation {
  int width = 0, height = 0;  // 0 where missing or no number
  int size_line = 0;          // of <size>, or of the root element without one
  std::vector<VocObject> objects;
};

struct MalformedXml {
  int line = 0;
  std::string what;
};

// False, with `malformed` filled, if `text` is no XML or does not hold one <annotation>. Thread-safe.
bool ParseVocAnnotation(const std::string& text, VocAnnotation* annotation, MalformedXml* malformed);

}  // namespace trireme

#endif  // TRIREME_DATA_VOC_ANNOTATION_H_

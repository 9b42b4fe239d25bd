// What a file offers a model, by name, and all that does not fit: so that nothing is loaded by halves, and the user
// sees every difference at once.
#ifndef TRIREME_CORE_TRAIN_ARRAY_LOOKUP_H_
#define TRIREME_CORE_TRAIN_ARRAY_LOOKUP_H_

#include <map>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/train/safetensors.h"

namespace trireme {

class ArrayLookup {
 public:
  // `file` is for messages. The content outlives the lookup.
  ArrayLookup(const SafetensorsContent& content, std::string file);

  // The array of this name, which then is asked for. Null, and a fault, if there is none, or if it has another shape.
  const NamedArray* Take(const std::string& name, const Shape& shape);
  // The same of an array that is not looked up.
  const NamedArray* Fit(const NamedArray& array, const Shape& shape);
  // Nobody asks for what is left, which is no fault; returns the names.
  std::vector<std::string> LeaveOut();
  // InvalidArgument with all faults, of which each array that nobody has asked for is one.
  Status Finish();

 private:
  std::string file_;
  std::map<std::string, const NamedArray*> arrays_;
  std::vector<std::string> faults_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_ARRAY_LOOKUP_H_

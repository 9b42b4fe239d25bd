// Reading and writing .safetensors files: an 8-byte little-endian length, a JSON header with each tensor's
// type, shape and byte range, and the bytes. Other tools (Python's `safetensors`) read what this writes.
#ifndef TRIREME_CORE_TRAIN_SAFETENSORS_H_
#define TRIREME_CORE_TRAIN_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "core/tensor/shape.h"

namespace trireme {

// Host arrays of float32 by name.
struct NamedArray {
  std::string name;
  Shape shape;
  std::vector<float> values;
};

struct SafetensorsContent {
  std::vector<NamedArray> arrays;
  std::map<std::string, std::string> metadata;
};

// The bytes of such a file.
std::string SafetensorsBytes(const SafetensorsContent& content);

// Writes and flushes to the disk (fsync); no rename. Unavailable if the disk refuses.
Status WriteSafetensors(const std::string& path, const SafetensorsContent& content);

// Values of 64 and 16 bits are converted to float32, whole numbers of 64 bits (torch's counters) too. NotFound if there
// is no such file; DataLoss, saying what does not fit, if it is damaged or holds other types.
StatusOr<SafetensorsContent> ReadSafetensors(const std::string& path);

}  // namespace trireme

#endif  // TRIREME_CORE_TRAIN_SAFETENSORS_H_

// Darknet's .weights files: a header of three 32-bit numbers (major, minor, revision) and the images seen so far, then
// the values of all layers, float32, one after the other, without names or shapes. Little end first.
#ifndef TRIREME_TOOLS_CONVERSION_DARKNET_FILE_H_
#define TRIREME_TOOLS_CONVERSION_DARKNET_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

struct DarknetFile {
  uint64_t images_seen = 0;
  std::vector<float> values;
};

// NotFound if there is no such file; DataLoss if it is cut or not of this kind.
StatusOr<DarknetFile> ReadDarknetFile(const std::string& path);

// As version 0.2, whose count of images has 64 bits.
std::string DarknetFileBytes(const DarknetFile& file);

}  // namespace trireme

#endif  // TRIREME_TOOLS_CONVERSION_DARKNET_FILE_H_

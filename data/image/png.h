// The PNG half of codec.h.
#ifndef TRIREME_DATA_IMAGE_PNG_H_
#define TRIREME_DATA_IMAGE_PNG_H_

#include <string>

#include "data/image/codec.h"

namespace trireme {

bool IsPng(absl::string_view bytes);
StatusOr<Image> DecodePng(absl::string_view bytes, const std::string& name);
StatusOr<ImageSize> PngSize(absl::string_view bytes, const std::string& name);

}  // namespace trireme

#endif  // TRIREME_DATA_IMAGE_PNG_H_

// The JPEG half of codec.h.
#ifndef TRIREME_DATA_IMAGE_JPEG_H_
#define TRIREME_DATA_IMAGE_JPEG_H_

#include <string>

#include "data/image/codec.h"

namespace trireme {

bool IsJpeg(absl::string_view bytes);
StatusOr<Image> DecodeJpeg(absl::string_view bytes, const std::string& name);
StatusOr<ImageSize> JpegSize(absl::string_view bytes, const std::string& name);

}  // namespace trireme

#endif  // TRIREME_DATA_IMAGE_JPEG_H_

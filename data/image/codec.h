// JPEG and PNG in and out of Image (8 bit RGB), on libjpeg-turbo and libpng.
//
// Decoding takes whatever the two formats hold: JPEG in grey, colour or CMYK (ink inverted, as Adobe writes it); PNG of
// 1 to 16 bits, grey, palette or colour, interlaced or not. 16 bits are rounded to 8, transparency is laid over white.
// EXIF orientation is not applied: annotations are made on the pixels as stored.
//
// Errors: InvalidArgument that begins with `name`, for bytes that are neither format and for pictures that are cut off
// or damaged: what a decoder would only warn about (premature end of data) is an error here, as the rest of such a
// picture is grey. More than 2^28 pixels are refused. All functions are thread-safe.
#ifndef TRIREME_DATA_IMAGE_CODEC_H_
#define TRIREME_DATA_IMAGE_CODEC_H_

#include <string>

#include "core/api/sample.h"
#include "core/base/status.h"

namespace trireme {

inline constexpr int64_t kMaxPixels = int64_t{1} << 28;

struct ImageSize {
  int width = 0, height = 0;
};

// The format is told by the first bytes, not by the name; `name` is for messages.
StatusOr<Image> DecodeImage(absl::string_view bytes, const std::string& name);
StatusOr<Image> ReadImage(const std::string& path);

// The bytes of a JPEG become the sample's encoded image; other formats are decoded. The sample has its name.
Status SetEncodedImage(std::string bytes, Sample* sample);

// From the header only; reads no more of the file than that needs.
StatusOr<ImageSize> ReadImageSize(const std::string& path);

// `quality` in 1..100; colour at half resolution, as cameras do, below 90.
std::string EncodeJpeg(const Image& image, int quality = 90);
std::string EncodePng(const Image& image);

// JPEG for .jpg and .jpeg, PNG for .png; InvalidArgument for other names.
Status WriteImage(const std::string& path, const Image& image);

}  // namespace trireme

#endif  // TRIREME_DATA_IMAGE_CODEC_H_

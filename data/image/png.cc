#include "data/image/png.h"

#include <glog/logging.h>
#include <png.h>

#include <cstring>

namespace trireme {
namespace {

// libpng's simplified interface, freed on every path.
struct PngImage {
  png_image png;
  PngImage() {
    std::memset(&png, 0, sizeof(png));
    png.version = PNG_IMAGE_VERSION;
  }
  ~PngImage() { png_image_free(&png); }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;
};

}  // namespace

bool IsPng(absl::string_view bytes) {
  return bytes.size() >= 8 && bytes.substr(0, 8) == absl::string_view("\x89PNG\r\n\x1A\n", 8);
}

StatusOr<ImageSize> PngSize(absl::string_view bytes, const std::string& name) {
  // The header chunk is always first: length, "IHDR", width and height, big endian.
  if (bytes.size() < 24 || bytes.substr(12, 4) != "IHDR") {
    return absl::InvalidArgumentError(absl::StrCat(name, ": a PNG without a header"));
  }
  const auto at = [&](size_t i) {
    const auto* p = reinterpret_cast<const unsigned char*>(bytes.data()) + i;
    return static_cast<int64_t>(p[0]) << 24 | p[1] << 16 | p[2] << 8 | p[3];
  };
  const int64_t width = at(16), height = at(20);
  if (width <= 0 || height <= 0 || width > kMaxPixels || height > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": a PNG that says it is ", width, " x ", height, " pixels"));
  }
  return ImageSize{static_cast<int>(width), static_cast<int>(height)};
}

StatusOr<Image> DecodePng(absl::string_view bytes, const std::string& name) {
  PngImage reader;
  const auto failed = [&] {
    return absl::InvalidArgumentError(absl::StrCat(name, ": a damaged or truncated PNG: ", reader.png.message));
  };
  if (png_image_begin_read_from_memory(&reader.png, bytes.data(), bytes.size()) == 0) return failed();
  if (static_cast<int64_t>(reader.png.width) * reader.png.height > kMaxPixels) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", reader.png.width, " x ", reader.png.height, " pixels are too many"));
  }
  reader.png.format = PNG_FORMAT_RGB;
  // Without it, 16 bits that do not state their gamma would be taken for linear light.
  reader.png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  Image image(static_cast<int>(reader.png.width), static_cast<int>(reader.png.height));
  const png_color white = {255, 255, 255};
  if (png_image_finish_read(&reader.png, &white, image.data.data(), 0, nullptr) == 0) return failed();
  return image;
}

std::string EncodePng(const Image& image) {
  CHECK(!image.empty());
  PngImage writer;
  writer.png.width = static_cast<png_uint_32>(image.width);
  writer.png.height = static_cast<png_uint_32>(image.height);
  writer.png.format = PNG_FORMAT_RGB;
  std::string encoded(PNG_IMAGE_PNG_SIZE_MAX(writer.png), '\0');
  png_alloc_size_t size = encoded.size();
  CHECK(png_image_write_to_memory(&writer.png, encoded.data(), &size, 0, image.data.data(), 0, nullptr))
      << writer.png.message;
  encoded.resize(size);
  return encoded;
}

}  // namespace trireme

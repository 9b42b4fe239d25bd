#include "data/image/jpeg.h"

#include <glog/logging.h>
#include <turbojpeg.h>

#include <memory>
#include <type_traits>

namespace trireme {
namespace {

struct DestroyHandle {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using Handle = std::unique_ptr<std::remove_pointer_t<tjhandle>, DestroyHandle>;

// A new one for every picture: after one that was damaged, libjpeg-turbo (2.1) may read the next with what is left of
// it.
Handle NewDecompressor() {
  Handle handle(tjInitDecompress());
  CHECK(handle != nullptr) << "libjpeg-turbo has no memory for a decompressor";
  return handle;
}

struct Header {
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
};

StatusOr<Header> ReadHeader(tjhandle handle, absl::string_view bytes, const std::string& name) {
  Header header;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (tjDecompressHeader3(handle, data, bytes.size(), &header.width, &header.height, &header.subsampling,
                          &header.colorspace) != 0 ||
      header.width <= 0 || header.height <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": not a readable JPEG: ", tjGetErrorStr2(handle)));
  }
  return header;
}

}  // namespace

bool IsJpeg(absl::string_view bytes) {
  return bytes.size() >= 3 && bytes.substr(0, 3) == absl::string_view("\xFF\xD8\xFF", 3);
}

StatusOr<ImageSize> JpegSize(absl::string_view bytes, const std::string& name) {
  TRIREME_ASSIGN_OR_RETURN(const Header header, ReadHeader(NewDecompressor().get(), bytes, name));
  return ImageSize{header.width, header.height};
}

StatusOr<Image> DecodeJpeg(absl::string_view bytes, const std::string& name) {
  const Handle handle = NewDecompressor();
  TRIREME_ASSIGN_OR_RETURN(const Header header, ReadHeader(handle.get(), bytes, name));
  const int width = header.width, height = header.height;
  if (static_cast<int64_t>(width) * height > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", width, " x ", height, " pixels are too many"));
  }
  const bool cmyk = header.colorspace == TJCS_CMYK || header.colorspace == TJCS_YCCK;
  Image image(width, height);
  std::vector<unsigned char> inks(cmyk ? static_cast<size_t>(width) * height * 4 : 0);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  // Any warning fails, too: it means that a part of the picture is missing.
  if (tjDecompress2(handle.get(), data, bytes.size(), cmyk ? inks.data() : image.data.data(), width, 0, height,
                    cmyk ? TJPF_CMYK : TJPF_RGB, TJFLAG_ACCURATEDCT) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": a damaged or truncated JPEG: ", tjGetErrorStr2(handle.get())));
  }
  for (size_t i = 0; i < inks.size() / 4; ++i) {
    const int black = inks[4 * i + 3];
    for (int c = 0; c < 3; ++c) image.data[3 * i + c] = static_cast<uint8_t>((inks[4 * i + c] * black + 127) / 255);
  }
  return image;
}

std::string EncodeJpeg(const Image& image, int quality) {
  CHECK(!image.empty());
  CHECK(quality >= 1 && quality <= 100) << quality;
  const Handle handle(tjInitCompress());
  CHECK(handle != nullptr);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT: the library's type
  const int failed = tjCompress2(handle.get(), image.data.data(), image.width, 0, image.height, TJPF_RGB, &bytes, &size,
                                 quality < 90 ? TJSAMP_420 : TJSAMP_444, quality, TJFLAG_ACCURATEDCT);
  CHECK_EQ(failed, 0) << tjGetErrorStr2(handle.get());
  std::string encoded(reinterpret_cast<const char*>(bytes), size);
  tjFree(bytes);
  return encoded;
}

}  // namespace trireme

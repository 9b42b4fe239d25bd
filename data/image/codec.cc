#include "data/image/codec.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "data/image/file.h"
#include "data/image/jpeg.h"
#include "data/image/png.h"

namespace trireme {
namespace {

Status NeitherFormat(absl::string_view bytes, const std::string& name) {
  return absl::InvalidArgumentError(
      bytes.empty() ? absl::StrCat(name, ": an empty file") : absl::StrCat(name, ": neither a JPEG nor a PNG"));
}

}  // namespace

StatusOr<Image> DecodeImage(absl::string_view bytes, const std::string& name) {
  if (IsJpeg(bytes)) return DecodeJpeg(bytes, name);
  if (IsPng(bytes)) return DecodePng(bytes, name);
  return NeitherFormat(bytes, name);
}

StatusOr<Image> ReadImage(const std::string& path) {
  TRIREME_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  return DecodeImage(bytes, path);
}

StatusOr<ImageSize> ReadImageSize(const std::string& path) {
  // Nearly every header fits; the others carry a colour profile or a thumbnail before it.
  constexpr size_t kUsual = 8 << 10;
  TRIREME_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kUsual));
  if (IsPng(bytes)) return PngSize(bytes, path);
  if (!IsJpeg(bytes)) return NeitherFormat(bytes, path);
  auto size = JpegSize(bytes, path);
  if (!size.ok() && bytes.size() == kUsual) {
    TRIREME_ASSIGN_OR_RETURN(bytes, ReadFile(path));
    size = JpegSize(bytes, path);
  }
  if (!size.ok()) return absl::InvalidArgumentError(size.status().message());
  return size;
}

Status WriteImage(const std::string& path, const Image& image) {
  const std::string lower = absl::AsciiStrToLower(path);
  if (absl::EndsWith(lower, ".jpg") || absl::EndsWith(lower, ".jpeg")) return WriteFile(path, EncodeJpeg(image));
  if (absl::EndsWith(lower, ".png")) return WriteFile(path, EncodePng(image));
  return absl::InvalidArgumentError(absl::StrCat(path, ": pictures are written as .jpg, .jpeg or .png"));
}

}  // namespace trireme

#include "data/image/codec.h"

#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "core/base/files.h"
#include "data/image/jpeg.h"
#include "data/image/png.h"

namespace trireme {
namespace {

// At most `limit` bytes from the start of the file; fewer where it is shorter or cannot be read, so that reading all of
// it tells why.
std::string ReadStart(const std::string& path, size_t limit) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return "";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  std::string bytes(limit, '\0');
  bytes.resize(file == nullptr ? 0 : std::fread(bytes.data(), 1, limit, file.get()));
  return bytes;
}

Status NeitherFormat(absl::string_view bytes, const std::string& name) {
  return absl::InvalidArgumentError(bytes.empty() ? absl::StrCat(name, ": an empty file")
                                                  : absl::StrCat(name, ": neither a JPEG nor a PNG"));
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

Status SetEncodedImage(std::string bytes, Sample* sample) {
  if (!IsJpeg(bytes)) {
    TRIREME_ASSIGN_OR_RETURN(Image image, DecodeImage(bytes, sample->name));
    sample->SetImage(std::move(image));
    return absl::OkStatus();
  }
  TRIREME_ASSIGN_OR_RETURN(const ImageSize size, JpegSize(bytes, sample->name));
  if (size.width < 1 || size.height < 1 || int64_t{size.width} * size.height > kMaxPixels) {
    return absl::InvalidArgumentError(
        absl::StrCat(sample->name, ": no image has ", size.width, " x ", size.height, " pixels"));
  }
  EncodedImage encoded;
  encoded.jpeg = std::move(bytes);
  encoded.width = size.width;
  encoded.height = size.height;
  encoded.decode = DecodeJpeg;
  sample->SetEncoded(std::move(encoded));
  return absl::OkStatus();
}

StatusOr<ImageSize> ReadImageSize(const std::string& path) {
  // Nearly every header fits; the others carry a colour profile or a thumbnail before it.
  constexpr size_t kUsual = 8 << 10;
  std::string bytes = ReadStart(path, kUsual);
  if (IsPng(bytes)) return PngSize(bytes, path);
  if (IsJpeg(bytes)) {
    const auto size = JpegSize(bytes, path);
    if (size.ok()) return size;
  }
  TRIREME_ASSIGN_OR_RETURN(bytes, ReadFile(path));
  if (!IsJpeg(bytes)) return NeitherFormat(bytes, path);
  return JpegSize(bytes, path);
}

Status WriteImage(const std::string& path, const Image& image) {
  const std::string lower = absl::AsciiStrToLower(path);
  if (absl::EndsWith(lower, ".jpg") || absl::EndsWith(lower, ".jpeg"))
    return WriteFileAtomically(path, EncodeJpeg(image));
  if (absl::EndsWith(lower, ".png")) return WriteFileAtomically(path, EncodePng(image));
  return absl::InvalidArgumentError(absl::StrCat(path, ": pictures are written as .jpg, .jpeg or .png"));
}

}  // namespace trireme

#include "data/image/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>
#include <turbojpeg.h>

#include <cmath>
#include <cstdlib>

#include "core/base/random.h"
#include "tests/data/temp_folder.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Smooth, so that JPEG can hold it.
Image Picture(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* p = image.pixel(x, y);
      p[0] = static_cast<uint8_t>(127 + 100 * std::sin(0.05 * x));
      p[1] = static_cast<uint8_t>(127 + 100 * std::cos(0.04 * y));
      p[2] = static_cast<uint8_t>(127 + 100 * std::sin(0.03 * (x + y)));
    }
  }
  return image;
}

Image Noise(int width, int height) {
  Image image(width, height);
  Random random(7, RandomUse::kSynthesis);
  for (uint8_t& value : image.data) value = static_cast<uint8_t>(random.Below(256));
  return image;
}

double MeanDifference(const Image& a, const Image& b) {
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.height, b.height);
  double sum = 0;
  for (size_t i = 0; i < a.data.size(); ++i) sum += std::abs(a.data[i] - b.data[i]);
  return sum / static_cast<double>(a.data.size());
}

TEST(Codec, PngKeepsEveryPixel) {
  for (const auto& [width, height] : {std::pair{1, 1}, {3, 7}, {65, 33}}) {
    const Image image = Noise(width, height);
    const auto decoded = DecodeImage(EncodePng(image), "a.png");
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->width, width);
    EXPECT_EQ(decoded->data, image.data);
  }
}

TEST(Codec, JpegKeepsThePicture) {
  for (const auto& [width, height] : {std::pair{1, 1}, {17, 5}, {101, 64}}) {
    for (const int quality : {75, 95}) {
      const Image image = Picture(width, height);
      const auto decoded = DecodeImage(EncodeJpeg(image, quality), "a.jpg");
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_LT(MeanDifference(image, *decoded), 6) << width << " x " << height;
    }
  }
}

TEST(Codec, TruncatedJpegIsAnErrorThatNamesTheFile) {
  const std::string whole = EncodeJpeg(Picture(120, 90));
  for (size_t length = 3; length + 2 < whole.size(); length += 1 + whole.size() / 60) {
    const auto decoded = DecodeImage(whole.substr(0, length), "photos/a.jpg");
    ASSERT_FALSE(decoded.ok()) << "cut at " << length << " of " << whole.size();
    EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(decoded.status().message()), StartsWith("photos/a.jpg: "));
  }
}

// libjpeg-turbo 2.1 keeps its state after a damaged header if it is given another picture with the same handle.
TEST(Codec, AGoodJpegDecodesAfterADamagedOne) {
  const std::string good = EncodeJpeg(Picture(60, 40));
  Random random(9, RandomUse::kSampling);
  for (int trial = 0; trial < 100; ++trial) {
    std::string bad = good;
    for (int i = 0; i < 8; ++i) bad[2 + random.Below(200)] = static_cast<char>(random.Below(256));
    (void)DecodeImage(bad, "bad.jpg");
    ASSERT_TRUE(DecodeImage(good, "good.jpg").ok());
  }
}

TEST(Codec, TruncatedPngIsAnErrorThatNamesTheFile) {
  const std::string whole = EncodePng(Noise(30, 20));
  for (size_t length = 8; length + 16 < whole.size(); length += 13) {
    const auto decoded = DecodeImage(whole.substr(0, length), "a.png");
    ASSERT_FALSE(decoded.ok()) << "cut at " << length << " of " << whole.size();
    EXPECT_THAT(std::string(decoded.status().message()), StartsWith("a.png: "));
  }
}

TEST(Codec, DamagedBytesNeverCrash) {
  Random random(3, RandomUse::kSampling);
  for (const std::string& whole : {EncodeJpeg(Picture(64, 48)), EncodePng(Picture(64, 48))}) {
    int refused = 0;
    for (int trial = 0; trial < 300; ++trial) {
      std::string bytes = whole;
      for (int i = 0; i < 5; ++i) {
        bytes[random.Below(static_cast<uint32_t>(bytes.size()))] = static_cast<char>(random.Below(256));
      }
      refused += !DecodeImage(bytes, "x").ok();
    }
    EXPECT_GT(refused, 20);
  }
}

TEST(Codec, NeitherFormat) {
  EXPECT_THAT(std::string(DecodeImage("GIF89a", "a.gif").status().message()), HasSubstr("neither a JPEG nor a PNG"));
  EXPECT_THAT(std::string(DecodeImage("", "a.jpg").status().message()), HasSubstr("empty"));
}

std::string CompressJpeg(const std::vector<unsigned char>& pixels, int width, int height, int format, int subsampling) {
  tjhandle handle = tjInitCompress();
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT: the library's type
  EXPECT_EQ(tjCompress2(handle, pixels.data(), width, 0, height, format, &bytes, &size, subsampling, 100, 0), 0);
  std::string encoded(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  tjDestroy(handle);
  return encoded;
}

TEST(Codec, GreyJpegBecomesRgb) {
  const std::vector<unsigned char> pixels(16 * 8, 77);
  const auto decoded = DecodeImage(CompressJpeg(pixels, 16, 8, TJPF_GRAY, TJSAMP_GRAY), "grey.jpg");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  for (const uint8_t value : decoded->data) EXPECT_NEAR(value, 77, 1);
}

TEST(Codec, CmykJpegBecomesRgb) {
  std::vector<unsigned char> pixels;
  for (int i = 0; i < 16 * 16; ++i) pixels.insert(pixels.end(), {200, 100, 50, 128});
  const auto decoded = DecodeImage(CompressJpeg(pixels, 16, 16, TJPF_CMYK, TJSAMP_444), "cmyk.jpg");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_NEAR(decoded->data[0], 200 * 128 / 255, 2);
  EXPECT_NEAR(decoded->data[1], 100 * 128 / 255, 2);
  EXPECT_NEAR(decoded->data[2], 50 * 128 / 255, 2);
}

// One row of a PNG in any of its kinds.
std::string WritePng(int width, int bit_depth, int colour_type, const std::string& row,
                     bool transparent_first = false) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, size_t size) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(data), size);
      },
      [](png_structp) {});
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), 1, bit_depth, colour_type, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  const png_color palette[] = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}, {255, 0, 255}};
  if (colour_type == PNG_COLOR_TYPE_PALETTE) {
    png_set_PLTE(png, info, palette, 4);
    png_byte alpha[] = {0};
    if (transparent_first) png_set_tRNS(png, info, alpha, 1, nullptr);
  }
  png_write_info(png, info);
  png_write_row(png, reinterpret_cast<png_const_bytep>(row.data()));
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::vector<int> Decoded(const std::string& bytes) {
  const auto image = DecodeImage(bytes, "a.png");
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? std::vector<int>(image->data.begin(), image->data.end()) : std::vector<int>();
}

TEST(Codec, EveryKindOfPng) {
  using V = std::vector<int>;
  EXPECT_EQ(Decoded(WritePng(2, 8, PNG_COLOR_TYPE_GRAY, {5, 6})), (V{5, 5, 5, 6, 6, 6}));
  EXPECT_EQ(Decoded(WritePng(8, 1, PNG_COLOR_TYPE_GRAY, "\xA0"))[3], 0);
  EXPECT_EQ(Decoded(WritePng(8, 1, PNG_COLOR_TYPE_GRAY, "\xA0"))[6], 255);
  // 16 bits: the high byte, rounded.
  EXPECT_EQ(Decoded(WritePng(1, 16, PNG_COLOR_TYPE_RGB, {10, 10, 100, 100, '\xC8', '\xC8'})), (V{10, 100, 200}));
  EXPECT_EQ(Decoded(WritePng(2, 2, PNG_COLOR_TYPE_PALETTE, "\x40")), (V{40, 50, 60, 10, 20, 30}));
  // Nothing shows of a transparent pixel, all of an opaque one.
  EXPECT_EQ(Decoded(WritePng(2, 8, PNG_COLOR_TYPE_RGBA, {1, 2, 3, 0, 4, 5, 6, '\xFF'})), (V{255, 255, 255, 4, 5, 6}));
  EXPECT_EQ(Decoded(WritePng(2, 2, PNG_COLOR_TYPE_PALETTE, "\x40", true)), (V{40, 50, 60, 255, 255, 255}));
}

TEST(Codec, FilesByNameAndSize) {
  const std::string folder = TempFolder("codec");
  const Image image = Picture(50, 40);
  for (const char* name : {"/a.jpg", "/b.JPEG", "/c.png"}) {
    ASSERT_TRUE(WriteImage(folder + name, image).ok());
    const auto size = ReadImageSize(folder + name);
    ASSERT_TRUE(size.ok()) << size.status();
    EXPECT_EQ(size->width, 50);
    EXPECT_EQ(size->height, 40);
    const auto read = ReadImage(folder + name);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_LT(MeanDifference(*read, image), 6);
  }
  EXPECT_EQ(WriteImage(folder + "/d.bmp", image).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadImage(folder + "/none.jpg").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadImageSize(folder + "/none.jpg").status().code(), absl::StatusCode::kNotFound);
  WriteBytes(folder + "/text.jpg", "no picture");
  EXPECT_EQ(ReadImageSize(folder + "/text.jpg").status().code(), absl::StatusCode::kInvalidArgument);
  WriteBytes(folder + "/cut.jpg", EncodeJpeg(image).substr(0, 30));
  EXPECT_EQ(ReadImageSize(folder + "/cut.jpg").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Codec, SizeBehindALongComment) {
  // A comment of 60 KB between the start and the rest of the header.
  std::string bytes = EncodeJpeg(Picture(33, 22));
  bytes.insert(2, std::string("\xFF\xFE\xEA\x60", 4) + std::string(0xEA60 - 2, 'x'));
  const std::string path = TempFolder("comment") + "/a.jpg";
  WriteBytes(path, bytes);
  const auto size = ReadImageSize(path);
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(size->width, 33);
}

}  // namespace
}  // namespace trireme

#include "tools/conversion/darknet_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/base/files.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

std::string Bytes(std::initializer_list<int32_t> numbers) {
  return std::string(reinterpret_cast<const char*>(numbers.begin()), numbers.size() * sizeof(int32_t));
}

TEST(DarknetFileTest, ComesBack) {
  const TemporaryFolder folder;
  DarknetFile file;
  file.images_seen = 32013312ull << 20;
  file.values = {1.5f, -2, std::numeric_limits<float>::infinity()};
  const auto read = ReadDarknetFile(folder.Write("file", DarknetFileBytes(file)));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->images_seen, file.images_seen);
  EXPECT_EQ(read->values, file.values);
}

// Darknet wrote 0.1.0 with a count of 32 bits until it had more images to count.
TEST(DarknetFileTest, ReadsBothHeaders) {
  const TemporaryFolder folder;
  const auto old = ReadDarknetFile(folder.Write("old", Bytes({0, 1, 0, 77, 0x3f800000})));
  ASSERT_TRUE(old.ok()) << old.status();
  EXPECT_EQ(old->images_seen, 77u);
  EXPECT_EQ(old->values, std::vector<float>{1});
  const auto now = ReadDarknetFile(folder.Write("now", Bytes({0, 2, 5, 77, 1, 0x3f800000})));
  ASSERT_TRUE(now.ok()) << now.status();
  EXPECT_EQ(now->images_seen, 77 + (uint64_t{1} << 32));
  EXPECT_EQ(now->values, std::vector<float>{1});
}

TEST(DarknetFileTest, DamageIsASentence) {
  const TemporaryFolder folder;
  const std::string bytes = Bytes({0, 2, 0, 0, 0, 0x3f800000, 0x40000000});
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Status status = ReadDarknetFile(folder.Write("cut", bytes.substr(0, size))).status();
    if (size >= 20 && size % 4 == 0) {
      EXPECT_TRUE(status.ok()) << size;  // a shorter file as good as any; its layers will not fit
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << size;
      EXPECT_THAT(std::string(status.message()), HasSubstr("cut: it ends within"));
    }
  }
  for (const auto& header : {Bytes({1000, 2, 0, 0, 0}), Bytes({0, 1000, 0, 0, 0}), Bytes({-1, 2, 0, 0, 0})}) {
    EXPECT_THAT(std::string(ReadDarknetFile(folder.Write("version", header)).status().message()),
                HasSubstr("no .weights file"));
  }
  EXPECT_EQ(ReadDarknetFile(folder / "missing").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace trireme

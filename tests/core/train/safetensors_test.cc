#include "core/train/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "tests/core/testing/temporary_folder.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

SafetensorsContent Small() {
  SafetensorsContent content;
  content.arrays.push_back({"b.weight", {2, 3}, {1, -2, 3.5f, 0, 5, 6e-30f}});
  content.arrays.push_back({"a.bias", {1}, {std::numeric_limits<float>::infinity()}});
  content.arrays.push_back({"scalar", {}, {7}});
  content.arrays.push_back({"none", {0, 4}, {}});
  content.metadata["format"] = "a \"quoted\" word";
  return content;
}

void ExpectEqual(const SafetensorsContent& a, const SafetensorsContent& b) {
  ASSERT_EQ(a.arrays.size(), b.arrays.size());
  for (const NamedArray& array : a.arrays) {
    const auto found =
        std::find_if(b.arrays.begin(), b.arrays.end(), [&](const auto& x) { return x.name == array.name; });
    ASSERT_NE(found, b.arrays.end()) << array.name;
    EXPECT_EQ(found->shape, array.shape);
    EXPECT_EQ(found->values, array.values);
  }
  EXPECT_EQ(a.metadata, b.metadata);
}

// A file with this header and data.
std::string Bytes(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  return bytes + header + data;
}

TEST(SafetensorsTest, ArraysComeBack) {
  const TemporaryFolder folder;
  ASSERT_TRUE(WriteSafetensors(folder / "file", Small()).ok());
  const auto read = ReadSafetensors(folder / "file");
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectEqual(*read, Small());

  ASSERT_TRUE(WriteSafetensors(folder / "file", {}).ok());
  ExpectEqual(*ReadSafetensors(folder / "file"), {});
}

// What Python's `safetensors` asks of a file: the header's length in 8 bytes, little end first; the header begins with
// '{'; offsets count from its end; the arrays fill the rest without holes, aligned to their type.
TEST(SafetensorsTest, WritesTheFormatThatOthersRead) {
  const TemporaryFolder folder;
  ASSERT_TRUE(WriteSafetensors(folder / "file", Small()).ok());
  const std::string bytes = *ReadFile(folder / "file");
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  ASSERT_LE(8 + length, bytes.size());
  EXPECT_EQ(length % 8, 0u);
  EXPECT_EQ(bytes[8], '{');
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  const std::string data = bytes.substr(8 + length);
  const auto& weight = header["b.weight"];
  EXPECT_EQ(weight["dtype"], "F32");
  EXPECT_EQ(weight["shape"], (std::vector<int>{2, 3}));
  EXPECT_EQ(weight["data_offsets"], (std::vector<int>{0, 24}));
  EXPECT_EQ(header["scalar"]["shape"], nlohmann::json::array());
  float third = 0;
  std::memcpy(&third, data.data() + 8, sizeof(third));
  EXPECT_EQ(third, 3.5f);
  EXPECT_EQ(header["__metadata__"]["format"], "a \"quoted\" word");
  EXPECT_EQ(data.size(), 4u * (6 + 1 + 1));
}

TEST(SafetensorsTest, ReadsWhatOthersWrite) {
  const TemporaryFolder folder;
  const float values[3] = {1, 2, 3};
  const std::string data(reinterpret_cast<const char*>(values), sizeof(values));
  const std::string path =
      folder.Write("file", Bytes("{\"z\":{\"data_offsets\":[4,12],\"shape\":[2],\"dtype\":\"F32\"},"
                                 "\"a\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]}}     ",
                                 data));
  const auto read = ReadSafetensors(path);
  ASSERT_TRUE(read.ok()) << read.status();
  SafetensorsContent expected;
  expected.arrays = {{"a", {1, 1}, {1}}, {"z", {2}, {2, 3}}};
  ExpectEqual(*read, expected);
}

TEST(SafetensorsTest, OtherTypesAreConverted) {
  const TemporaryFolder folder;
  const double wide[2] = {1.5, 1e-3};
  const int64_t counter = 12345678901;
  const uint16_t half[2] = {0x3c01, 0x8001}, brain[2] = {0x3f81, 0xff80};
  std::string data(reinterpret_cast<const char*>(wide), sizeof(wide));
  data.append(reinterpret_cast<const char*>(&counter), sizeof(counter));
  data.append(reinterpret_cast<const char*>(half), sizeof(half));
  data.append(reinterpret_cast<const char*>(brain), sizeof(brain));
  const std::string path =
      folder.Write("file", Bytes("{\"wide\":{\"data_offsets\":[0,16],\"shape\":[2],\"dtype\":\"F64\"},"
                                 "\"counter\":{\"data_offsets\":[16,24],\"shape\":[],\"dtype\":\"I64\"},"
                                 "\"half\":{\"data_offsets\":[24,28],\"shape\":[2],\"dtype\":\"F16\"},"
                                 "\"brain\":{\"data_offsets\":[28,32],\"shape\":[2],\"dtype\":\"BF16\"}}",
                                 data));
  const auto read = ReadSafetensors(path);
  ASSERT_TRUE(read.ok()) << read.status();
  SafetensorsContent expected;
  expected.arrays = {{"wide", {2}, {1.5f, 1e-3f}},
                     {"counter", {}, {12345678901.0f}},
                     {"half", {2}, {1 + 1.0f / 1024, -0x1p-24f}},
                     {"brain", {2}, {1 + 1.0f / 128, -std::numeric_limits<float>::infinity()}}};
  ExpectEqual(*read, expected);
}

TEST(SafetensorsTest, NamesOfAnyBytesAreWritten) {
  const TemporaryFolder folder;
  SafetensorsContent content;
  content.arrays.push_back({"no \xff utf8", {1}, {1}});
  content.metadata["no \xc3"] = "\xff";
  EXPECT_TRUE(WriteSafetensors(folder / "file", content).ok());
  EXPECT_TRUE(ReadSafetensors(folder / "file").ok());
}

TEST(SafetensorsTest, RefusesWhatDoesNotFit) {
  const std::string eight(8, '\0');
  struct Case {
    const char* header;
    const char* says;
  };
  const TemporaryFolder folder;
  for (const Case& c : std::initializer_list<Case>{
           {"[]", "not JSON"},
           {"{\"a\":", "not JSON"},
           {"{\"a\":3}", "the entry of a is malformed"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "malformed"},
           {"{\"a\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "a is of type I32"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "do not fit its shape"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", "do not fit its shape"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "do not fit its shape"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "the shape of a is malformed"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", "the shape of a is malformed"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,8]}}", "a"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", "too many dimensions"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "4 bytes of 8"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
            "the bytes of b overlap"},
           {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
            "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
            "a hole before the bytes of a"},
           {"{\"__metadata__\":\"text\"}", "metadata"},
           {"{\"__metadata__\":{\"a\":3}}", "metadata"},
       }) {
    const Status status = ReadSafetensors(folder.Write("file", Bytes(c.header, eight))).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << c.header;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.says)) << c.header;
    EXPECT_THAT(std::string(status.message()), HasSubstr(folder / "file"));
  }
  EXPECT_EQ(ReadSafetensors(folder / "missing").status().code(), absl::StatusCode::kNotFound);
}

TEST(SafetensorsTest, EveryTruncationIsSeen) {
  const TemporaryFolder folder;
  ASSERT_TRUE(WriteSafetensors(folder / "file", Small()).ok());
  const std::string bytes = *ReadFile(folder / "file");
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(ReadSafetensors(folder.Write("cut", bytes.substr(0, size))).status().code(), absl::StatusCode::kDataLoss)
        << size;
  }
  EXPECT_EQ(ReadSafetensors(folder.Write("grown", bytes + "x")).status().code(), absl::StatusCode::kDataLoss);
}

// A flipped bit of a value cannot be seen, one anywhere else must not do worse than be read as another file.
TEST(SafetensorsTest, NoDamageDoesHarm) {
  const TemporaryFolder folder;
  ASSERT_TRUE(WriteSafetensors(folder / "file", Small()).ok());
  const std::string bytes = *ReadFile(folder / "file");
  int refused = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int change = 0; change < 10; ++change) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(change < 8 ? damaged[i] ^ 1 << change : change == 8 ? 0 : 0xff);
      const auto read = ReadSafetensors(folder.Write("damaged", damaged));
      if (!read.ok()) ++refused;
      EXPECT_TRUE(!read.ok() || i >= 8 || damaged == bytes) << "the header's length";
    }
  }
  EXPECT_GT(refused, static_cast<int>(bytes.size()));
}

}  // namespace
}  // namespace trireme

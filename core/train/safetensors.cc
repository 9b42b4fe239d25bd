#include "core/train/safetensors.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "core/base/files.h"
#include "core/base/json_text.h"
#include "core/tensor/floating.h"

namespace trireme {
namespace {

// A header beyond this is damage, not a model.
constexpr uint64_t kLargestHeader = uint64_t{100} << 20;

Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what, "; the file is damaged or no safetensors file"));
}

template <class T>
void ReadAs(const char* bytes, std::vector<float>* values) {
  for (size_t i = 0; i < values->size(); ++i) {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    if constexpr (std::is_arithmetic_v<T>) {
      (*values)[i] = static_cast<float>(value);
    } else {
      (*values)[i] = ToFloat(value);
    }
  }
}

struct ElementType {
  const char* name;
  uint64_t size;
  void (*read)(const char* bytes, std::vector<float>* values);
};
constexpr ElementType kElementTypes[] = {
    {"F32", 4, ReadAs<float>},     {"F64", 8, ReadAs<double>},  {"F16", 2, ReadAs<float16>},
    {"BF16", 2, ReadAs<bfloat16>}, {"I64", 8, ReadAs<int64_t>},
};

const ElementType* FindType(const std::string& name) {
  for (const ElementType& type : kElementTypes) {
    if (name == type.name) return &type;
  }
  return nullptr;
}

struct ByteRange {
  uint64_t begin, end;
  std::string name;
};

// The format allows neither holes nor overlaps; a file that was cut, grown or mended by hand shows here.
Status CheckRanges(const std::string& path, std::vector<ByteRange> ranges, uint64_t data_size) {
  std::sort(ranges.begin(), ranges.end(), [](const ByteRange& a, const ByteRange& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t end = 0;
  for (const ByteRange& range : ranges) {
    if (range.begin < end) return Damaged(path, absl::StrCat("the bytes of ", range.name, " overlap another array's"));
    if (range.begin > end) return Damaged(path, absl::StrCat("there is a hole before the bytes of ", range.name));
    end = range.end;
  }
  if (end != data_size) return Damaged(path, absl::StrCat("its arrays are ", end, " bytes of ", data_size));
  return absl::OkStatus();
}

}  // namespace

std::string SafetensorsBytes(const SafetensorsContent& content) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  uint64_t offset = 0;
  for (const NamedArray& array : content.arrays) {
    CHECK_EQ(array.shape.size(), static_cast<int64_t>(array.values.size())) << array.name;
    std::vector<int64_t> shape;
    for (int d = 0; d < array.shape.rank(); ++d) shape.push_back(array.shape[d]);
    const uint64_t end = offset + array.values.size() * sizeof(float);
    CHECK(!header.contains(array.name)) << "two arrays are named " << array.name;
    header[array.name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Names come from files and users; what is no UTF-8 in them is replaced, never thrown about.
  std::string bytes = JsonText(header);
  // The format lets the header be padded with spaces; this aligns the data.
  bytes.resize((bytes.size() + 7) / 8 * 8, ' ');
  const uint64_t length = bytes.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(&file[0], &length, sizeof(length));
  file += bytes;
  file.reserve(file.size() + offset);
  for (const NamedArray& array : content.arrays) {
    file.append(reinterpret_cast<const char*>(array.values.data()), array.values.size() * sizeof(float));
  }
  return file;
}

Status WriteSafetensors(const std::string& path, const SafetensorsContent& content) {
  return WriteFileDurably(path, SafetensorsBytes(content));
}

StatusOr<SafetensorsContent> ReadSafetensors(const std::string& path) {
  TRIREME_ASSIGN_OR_RETURN(const std::string file, ReadFile(path));
  uint64_t length = 0;
  if (file.size() < sizeof(length)) return Damaged(path, "it ends within its first 8 bytes");
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kLargestHeader || length > file.size() - sizeof(length)) {
    return Damaged(path, absl::StrCat("its header claims ", length, " bytes of ", file.size()));
  }
  const char* begin = file.data() + sizeof(length);
  const nlohmann::json header = nlohmann::json::parse(begin, begin + length, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return Damaged(path, "its header is not JSON");
  const char* data = begin + length;
  const uint64_t data_size = file.size() - sizeof(length) - length;

  SafetensorsContent content;
  std::vector<ByteRange> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) return Damaged(path, "its metadata are no map");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) return Damaged(path, "its metadata are not strings");
        content.metadata[key] = value.get<std::string>();
      }
      continue;
    }
    const bool well_formed = entry.is_object() && entry.contains("dtype") && entry["dtype"].is_string() &&
                             entry.contains("shape") && entry["shape"].is_array() && entry.contains("data_offsets") &&
                             entry["data_offsets"].is_array() && entry["data_offsets"].size() == 2 &&
                             entry["data_offsets"][0].is_number_unsigned() &&
                             entry["data_offsets"][1].is_number_unsigned();
    if (!well_formed) return Damaged(path, absl::StrCat("the entry of ", name, " is malformed"));
    const ElementType* const type = FindType(entry["dtype"].get<std::string>());
    if (type == nullptr) {
      return absl::DataLossError(absl::StrCat(path, ": ", name, " is of type ", entry["dtype"].get<std::string>(),
                                              "; what can be read is F32, F64, F16, BF16 and I64"));
    }
    NamedArray array;
    array.name = name;
    if (entry["shape"].size() > Shape::kMaxRank) return Damaged(path, absl::StrCat(name, " has too many dimensions"));
    uint64_t count = 1;
    for (const auto& extent : entry["shape"]) {
      if (!extent.is_number_unsigned() || extent.get<uint64_t>() > data_size + 1) {
        return Damaged(path, absl::StrCat("the shape of ", name, " is malformed"));
      }
      array.shape.Append(extent.get<int64_t>());
      count *= extent.get<uint64_t>();
      if (count > data_size) return Damaged(path, absl::StrCat(name, " is larger than the file"));
    }
    const uint64_t from = entry["data_offsets"][0], to = entry["data_offsets"][1];
    if (from > to || to > data_size || to - from != count * type->size) {
      return Damaged(path, absl::StrCat("the bytes of ", name, " (", from, " to ", to, ") do not fit its shape ",
                                        array.shape.ToString(), " or the file"));
    }
    ranges.push_back({from, to, name});
    array.values.resize(count);
    if (count > 0) type->read(data + from, &array.values);
    content.arrays.push_back(std::move(array));
  }
  TRIREME_RETURN_IF_ERROR(CheckRanges(path, std::move(ranges), data_size));
  return content;
}

}  // namespace trireme

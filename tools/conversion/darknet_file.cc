#include "tools/conversion/darknet_file.h"

#include <cstring>

#include "core/base/files.h"

namespace trireme {
namespace {

// Takes values off the front of a file's bytes.
class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}
  template <class T>
  bool Read(T* value) {
    if (bytes_.size() - at_ < sizeof(T)) return false;
    std::memcpy(value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  const char* rest() const { return bytes_.data() + at_; }
  size_t rest_size() const { return bytes_.size() - at_; }

 private:
  const std::string& bytes_;
  size_t at_ = 0;
};

template <class T>
void Append(const T& value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

}  // namespace

StatusOr<DarknetFile> ReadDarknetFile(const std::string& path) {
  TRIREME_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  const Status cut = absl::DataLossError(absl::StrCat(path, ": it ends within its header; the file is cut"));
  Reader reader(bytes);
  int32_t major, minor, revision;
  if (!reader.Read(&major) || !reader.Read(&minor) || !reader.Read(&revision)) return cut;
  // Versions from 1000 on have the matrices of dense layers transposed; Darknet itself writes 0.1 and 0.2.
  if (major < 0 || minor < 0 || major >= 1000 || minor >= 1000) {
    return absl::DataLossError(absl::StrCat(path, ": it says that it is of Darknet's version ", major, ".", minor,
                                            "; the file is damaged or no .weights file"));
  }
  DarknetFile file;
  if (major * 10 + minor >= 2) {
    if (!reader.Read(&file.images_seen)) return cut;
  } else {
    int32_t seen;
    if (!reader.Read(&seen)) return cut;
    file.images_seen = static_cast<uint32_t>(seen);
  }
  if (reader.rest_size() % sizeof(float) != 0) {
    return absl::DataLossError(absl::StrCat(path, ": it ends within a value; the file is cut"));
  }
  file.values.resize(reader.rest_size() / sizeof(float));
  if (!file.values.empty()) std::memcpy(file.values.data(), reader.rest(), reader.rest_size());
  return file;
}

std::string DarknetFileBytes(const DarknetFile& file) {
  std::string bytes;
  for (const int32_t number : {0, 2, 0}) Append(number, &bytes);
  Append(file.images_seen, &bytes);
  bytes.append(reinterpret_cast<const char*>(file.values.data()), file.values.size() * sizeof(float));
  return bytes;
}

}  // namespace trireme

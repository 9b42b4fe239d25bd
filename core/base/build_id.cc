#include "core/base/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>

#include "absl/strings/escaping.h"

namespace trireme {
namespace {

// Notes are padded to words of four bytes.
size_t Padded(size_t size) { return (size + 3) / 4 * 4; }

std::string FindIn(const char* at, const char* end) {
  ElfW(Nhdr) note;
  for (; at + sizeof(note) <= end; at += sizeof(note) + Padded(note.n_namesz) + Padded(note.n_descsz)) {
    std::memcpy(&note, at, sizeof(note));
    const char* const name = at + sizeof(note);
    if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || std::memcmp(name, "GNU", 4) != 0) continue;
    return absl::BytesToHexString(absl::string_view(name + 4, note.n_descsz));
  }
  return "";
}

int Add(dl_phdr_info* info, size_t, void* ids) {
  std::string id;
  for (int i = 0; i < info->dlpi_phnum && id.empty(); ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const char* const begin = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
    id = FindIn(begin, begin + header.p_memsz);
  }
  static_cast<std::map<std::string, std::string>*>(ids)->emplace(info->dlpi_name, id);
  return 0;
}

}  // namespace

std::map<std::string, std::string> LoadedBuildIds() {
  std::map<std::string, std::string> ids;
  dl_iterate_phdr(&Add, &ids);
  return ids;
}

}  // namespace trireme

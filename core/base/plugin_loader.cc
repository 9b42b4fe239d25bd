#include "core/base/plugin_loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <map>

#include "core/base/catch_exceptions.h"
#include "core/base/files.h"
#include "core/base/registry.h"

namespace trireme {
namespace {

constexpr char kVersionSymbol[] = "trireme_plugin_abi_version", kInterfaceSymbol[] = "trireme_plugin_interface";

// Every read of the file goes through here, so that no offset in it, however wrong, leads outside.
template <class T>
bool ReadAt(const std::string& file, uint64_t offset, T* value) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) return false;
  std::memcpy(value, file.data() + offset, sizeof(T));
  return true;
}

bool NameIs(const std::string& file, uint64_t offset, const char* name) {
  const size_t bytes = std::strlen(name) + 1;
  return offset <= file.size() && file.size() - offset >= bytes && std::memcmp(file.data() + offset, name, bytes) == 0;
}

// Where the value of an exported constant lies in the file, from its own bytes (System V ABI, chapters 4 and 5).
bool FindExported(const std::string& file, const char* name, uint64_t* offset) {
  ElfW(Ehdr) header;
  if (!ReadAt(file, 0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return false;
  if (header.e_ident[EI_CLASS] != (sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32) || header.e_type != ET_DYN)
    return false;
  const auto section = [&](uint64_t index, ElfW(Shdr) * found) {
    return index < header.e_shnum && ReadAt(file, header.e_shoff + index * sizeof(ElfW(Shdr)), found);
  };
  ElfW(Shdr) symbols, names, data;
  for (uint64_t s = 0; section(s, &symbols); ++s) {
    if (symbols.sh_type != SHT_DYNSYM || !section(symbols.sh_link, &names)) continue;
    ElfW(Sym) symbol;
    for (uint64_t at = 0; at < symbols.sh_size && ReadAt(file, symbols.sh_offset + at, &symbol); at += sizeof(symbol)) {
      if (symbol.st_name >= names.sh_size || !NameIs(file, names.sh_offset + symbol.st_name, name)) continue;
      if (!section(symbol.st_shndx, &data) || data.sh_type != SHT_PROGBITS) return false;
      *offset = data.sh_offset + (symbol.st_value - data.sh_addr);
      return true;
    }
  }
  return false;
}

// The loader maps segments without asking whether the file is long enough, and dies where it is not. The sections are
// the last thing in a file, so they tell one that was cut.
bool IsWhole(const std::string& file) {
  ElfW(Ehdr) header;
  if (!ReadAt(file, 0, &header)) return false;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    ElfW(Shdr) section;
    if (!ReadAt(file, header.e_shoff + i * sizeof(section), &section)) return false;
  }
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    ElfW(Phdr) segment;
    if (!ReadAt(file, header.e_phoff + i * sizeof(segment), &segment)) return false;
    if (segment.p_type != PT_LOAD) continue;
    if (segment.p_offset > file.size() || segment.p_filesz > file.size() - segment.p_offset) return false;
  }
  return true;
}

Status CheckFile(const std::string& path) {
  auto file = ReadFile(path);
  if (!file.ok()) return Annotate(file.status(), "the plugin");
  int version = 0;
  uint64_t version_at = 0, interface_at = 0;
  if (!FindExported(*file, kVersionSymbol, &version_at) || !ReadAt(*file, version_at, &version) || !IsWhole(*file)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     " is no Trireme plugin: it has to be a shared object for this machine, with TRIREME_PLUGIN in one "
                     "of its files (see docs/adding_a_plugin.md)"));
  }
  if (version != TRIREME_PLUGIN_ABI_VERSION) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " was built for version ", version, " of Trireme's plugin interface, this program has version ",
        TRIREME_PLUGIN_ABI_VERSION, "; build the plugin again from the sources of this program"));
  }
  if (!FindExported(*file, kInterfaceSymbol, &interface_at) || !NameIs(*file, interface_at, TRIREME_PLUGIN_INTERFACE)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " was built with other headers of Trireme than this program (core's digest here is ",
                     TRIREME_PLUGIN_INTERFACE, "); build both again from the same sources, with the same --config"));
  }
  return absl::OkStatus();
}

// An exception does not come out of dlopen: the system's loader has no way to go back.
const char* opening = "";
[[noreturn]] void TellWhatWasThrown() {
  const Status status = CatchExceptions(absl::StrCat(opening, ": an initialiser of the plugin"), []() -> Status {
    if (const std::exception_ptr thrown = std::current_exception()) std::rethrow_exception(thrown);
    return absl::InternalError(absl::StrCat(opening, ": an initialiser of the plugin ends the program"));
  });
  fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  _exit(ExitCode(status));
}

Status Open(const std::string& path) {
  // All of it now, or nothing: a symbol that is missing is found before any initialiser runs.
  opening = path.c_str();
  const std::terminate_handler before = std::set_terminate(TellWhatWasThrown);
  const void* opened = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  std::set_terminate(before);
  if (opened != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the plugin cannot be loaded: ", dlerror(),
                                                    "; it uses something that neither this program nor a "
                                                    "library it is linked with has: build it with "
                                                    "trireme_plugin from the sources of this program"));
}

}  // namespace

Status LoadPlugin(const std::string& path) {
  // A plugin that was refused stays in memory, because its messages stay known to protobuf, and opening it again
  // would run nothing: so the first answer is the answer.
  static auto* answers = new std::map<std::string, Status>;
  std::error_code error;
  const std::string file = std::filesystem::canonical(path, error).string();
  const auto known = answers->find(file);
  if (!error && known != answers->end()) return known->second;
  TRIREME_RETURN_IF_ERROR(CheckFile(error ? path : file));
  ComponentRegistry::Global().BeginPlugin(file);
  const Status opened = Open(file);
  const Status status = ComponentRegistry::Global().EndPlugin(opened);
  if (opened.ok()) answers->emplace(file, status);
  return status;
}

}  // namespace trireme

// What the linker has written into a running program to tell it from others: the same for the same code, built the same
// way (NT_GNU_BUILD_ID).
#ifndef TRIREME_CORE_BASE_BUILD_ID_H_
#define TRIREME_CORE_BASE_BUILD_ID_H_

#include <map>
#include <string>

namespace trireme {

// Hexadecimal, by path of each shared object that is loaded; the program's own under "". Empty text where there is
// none.
std::map<std::string, std::string> LoadedBuildIds();

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_BUILD_ID_H_

// Plugins: shared objects whose components register themselves when they are loaded.
//
// A plugin is built against the same sources and says so: it exports, through TRIREME_PLUGIN in one of its files, the
// ABI version it was built with, and a digest of the headers of core that it was built with: classes that both know are
// then the same. Both are read before any of its code runs; others are refused with a sentence.
#ifndef TRIREME_CORE_BASE_PLUGIN_LOADER_H_
#define TRIREME_CORE_BASE_PLUGIN_LOADER_H_

#include <string>

#include "core/base/status.h"
#include "core/plugin_interface.h"

// Raised with every change that a plugin built earlier would not survive, and that no header shows.
#define TRIREME_PLUGIN_ABI_VERSION 5

namespace trireme {

// NotFound if there is no such file, InvalidArgument if it is no plugin (damaged ones included) or a key of its is no
// kind/name, FailedPrecondition if its ABI version or its headers are others or it needs symbols that this program
// lacks, AlreadyExists if it registers a key that is taken. After a fault the registry is as it was. Loading one twice
// is OK. A plugin stays loaded until the process ends. Not thread-safe: tools load plugins before they start workers.
//
// What cannot be refused: a plugin whose initialisers throw; it ends the process, with what was thrown. And one with a
// .proto of the same path as one that is loaded already; protobuf ends the process. A folder of its own makes the path
// its own.
Status LoadPlugin(const std::string& path);

}  // namespace trireme

// In one .cc file of a plugin, at global scope, with a semicolon.
#define TRIREME_PLUGIN(name)                                                                                          \
  extern "C" __attribute__((visibility("default"))) const char trireme_plugin_name[] = name;                          \
  extern "C" __attribute__((visibility("default"))) const char trireme_plugin_interface[] = TRIREME_PLUGIN_INTERFACE; \
  extern "C" __attribute__((visibility("default"))) const int trireme_plugin_abi_version = TRIREME_PLUGIN_ABI_VERSION

#endif  // TRIREME_CORE_BASE_PLUGIN_LOADER_H_

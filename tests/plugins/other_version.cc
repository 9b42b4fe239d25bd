// A plugin of another version of the interface, which leaves a trace when any of it runs.
#include <stdlib.h>

#include "core/base/plugin_loader.h"

#undef TRIREME_PLUGIN_ABI_VERSION
#define TRIREME_PLUGIN_ABI_VERSION 1001

TRIREME_PLUGIN("other_version");

namespace {
[[maybe_unused]] const int trace = setenv("TRIREME_TEST_OTHER_VERSION_RAN", "1", 1);
}  // namespace

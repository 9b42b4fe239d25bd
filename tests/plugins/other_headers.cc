// A plugin that was built with other headers, which leaves a trace when any of it runs.
#include <stdlib.h>

#include "core/base/plugin_loader.h"

#undef TRIREME_PLUGIN_INTERFACE
#define TRIREME_PLUGIN_INTERFACE "0123456789abcdef"

TRIREME_PLUGIN("other_headers");

namespace {
[[maybe_unused]] const int trace = setenv("TRIREME_TEST_OTHER_HEADERS_RAN", "1", 1);
}  // namespace

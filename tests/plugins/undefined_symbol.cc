// A plugin that uses what no program has, and leaves a trace when any of it runs.
#include <stdlib.h>

#include "core/base/plugin_loader.h"

TRIREME_PLUGIN("undefined_symbol");

namespace trireme {
int ThereIsNoSuchFunction();
}  // namespace trireme

namespace {
[[maybe_unused]] const int trace = setenv("TRIREME_TEST_UNDEFINED_SYMBOL_RAN", "1", 1);
[[maybe_unused]] const int used = trireme::ThereIsNoSuchFunction();
}  // namespace

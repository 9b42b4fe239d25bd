// Makes the shared object a plugin.
#include "core/base/plugin_loader.h"

TRIREME_PLUGIN("example_backbone");

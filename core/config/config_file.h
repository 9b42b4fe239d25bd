// Reading, overriding and printing configs: protobuf text format in which `[kind/name] { ... }` stands
// for a component's own message, found through the registry.
//
// Plugins that the config names in `plugin` are to be loaded before the rest can be parsed: see
// PluginsNamedIn.
#ifndef TRIREME_CORE_CONFIG_CONFIG_FILE_H_
#define TRIREME_CORE_CONFIG_CONFIG_FILE_H_

#include <google/protobuf/message.h>

#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace trireme {

// Parses `text` into `message`. A fault is InvalidArgument "<name>:<line>:<column>: ...", an unknown
// component names the nearest key. All faults found are in the message, a line each.
Status ParseText(const std::string& text, const std::string& name, google::protobuf::Message* message);

// Reads and parses a file; NotFound if there is none.
Status ParseTextFile(const std::string& path, google::protobuf::Message* message);

// The text that ParseText reads back.
std::string PrintText(const google::protobuf::Message& message);

// The values of the top-level field `plugin`, found without parsing the components, which the plugins
// may bring.
StatusOr<std::vector<std::string>> PluginsNamedIn(const std::string& text, const std::string& name);

// "path.to.field=value", as --set takes it. The path goes through components without naming them
// ("train_data.root"); an element of a repeated field is named by its index ("transforms[0].probability"),
// a whole one is replaced by a list ("milestones=[100, 200]"). The value is what would stand in the file;
// quotes around a string may be left out; a message is written in braces. InvalidArgument names the field
// that does not exist and those that do; `message` is unchanged then.
Status ApplyOverride(const std::string& assignment, google::protobuf::Message* message);

// Every value that `message` sets, by its path as ApplyOverride takes it; a component also by its key.
std::vector<std::pair<std::string, std::string>> ListFields(const google::protobuf::Message& message);

}  // namespace trireme

#endif  // TRIREME_CORE_CONFIG_CONFIG_FILE_H_

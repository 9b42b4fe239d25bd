// The front door that train, eval and detect share: flags, help, where paths begin, and the exit code.
#ifndef TRIREME_TOOLS_CLI_COMMAND_LINE_H_
#define TRIREME_TOOLS_CLI_COMMAND_LINE_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/config/config.pb.h"

namespace trireme {

// Parses the command line with gflags and runs `body`; returns the process's exit code (see ExitCode in status.h) and
// prints what went wrong to stderr. `help` is printed for --help. The working directory becomes the user's own, also
// under `bazel run`. --set may be given any number of times.
int RunTool(int argc, char** argv, const std::string& help, const std::function<Status()>& body);

// Of all --set flags, in order.
const std::vector<std::string>& Overrides();

// Whether the command line has this flag, with whatever value.
bool IsGiven(const char* flag);

// Loads the plugins of --plugin (a list with commas).
Status LoadPluginsOfFlag(const std::string& paths);

// Finds a config (relative to where the user stands, then among the shipped ones), loads the plugins it names, parses
// it, and applies Overrides(). `*found` is its path.
Status LoadConfig(const std::string& path, Config* config, std::string* found);

// A config that a checkpoint holds; overrides apply too.
Status ParseConfig(const std::string& text, const std::string& name, Config* config);

// InvalidArgument where no file could be written at `path`, which --`flag` names: better before the work than after it.
// OK for "".
Status CheckOutputFile(const char* flag, const std::string& path);

// A flag that SIGINT and SIGTERM set. A second signal ends the process at once.
const std::atomic<bool>* StopRequested();

}  // namespace trireme

#endif  // TRIREME_TOOLS_CLI_COMMAND_LINE_H_

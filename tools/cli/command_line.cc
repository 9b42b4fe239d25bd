#include "tools/cli/command_line.h"

#include <gflags/gflags.h>
#include <glog/logging.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "core/base/plugin_loader.h"
#include "core/base/registry.h"
#include "core/config/config_file.h"
#include "core/device/device.h"

DECLARE_bool(help);
DECLARE_bool(helpfull);
DECLARE_bool(helpshort);

// gflags ends the process through this when a flag is wrong.
namespace GFLAGS_NAMESPACE {
extern void (*gflags_exitfunc)(int);
}

namespace trireme {
namespace {

namespace fs = std::filesystem;

auto* const overrides = new std::vector<std::string>;
fs::path* program = nullptr;
std::atomic<bool> stop_requested{false};
std::atomic<int64_t> stop_requested_at{0};  // milliseconds since the machine started; 0: not yet

int64_t Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1000000;
}

void OnSignal(int signal_number) {
  const int64_t now = Now();
  int64_t first = 0;
  if (stop_requested_at.compare_exchange_strong(first, now)) {
    stop_requested = true;
    return;
  }
  // One request may come by several ways, to several threads at once: from who signals all processes of a job, and from
  // the one that watches over this one.
  if (now - first < 1000) return;
  // The user insists.
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

// gflags keeps only the last of a repeated flag.
Status TakeOverrides(std::vector<char*>* arguments) {
  std::vector<char*> rest;
  for (size_t i = 0; i < arguments->size(); ++i) {
    const char* argument = (*arguments)[i];
    const char* name = argument;
    while (*name == '-' && name - argument < 2) ++name;
    const bool dashes = name != argument;
    if (dashes && std::strcmp(name, "set") == 0) {
      if (++i == arguments->size()) return absl::InvalidArgumentError("--set takes path.to.field=value");
      overrides->push_back((*arguments)[i]);
    } else if (dashes && std::strncmp(name, "set=", 4) == 0) {
      overrides->push_back(name + 4);
    } else {
      rest.push_back((*arguments)[i]);
    }
  }
  *arguments = std::move(rest);
  return absl::OkStatus();
}

int Fail(const Status& status) {
  if (IsToldElsewhere(status)) return ExitCode(status);
  absl::string_view message = status.message();
  fprintf(stderr, "%s: %.*s\n", program->filename().c_str(), static_cast<int>(message.size()), message.data());
  return ExitCode(status);
}

// Where this program was started from, though the file may be gone, or another by now: a build replaces it under a job
// that goes on, and Linux then adds words to its name.
fs::path OwnProgram() {
  std::error_code error;
  const std::string path = fs::read_symlink("/proc/self/exe", error).string();
  return PathExists(path) ? path : std::string(absl::StripSuffix(path, " (deleted)"));
}

std::vector<fs::path> ShippedConfigFolders() {
  return {fs::path(program->string() + ".runfiles") / "trireme/tools/configs", program->parent_path() / "configs",
          program->parent_path() / "../tools/configs"};
}

StatusOr<std::string> FindConfig(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("no config: say --config=FILE, for example --config=ssd.pbtxt");
  if (PathExists(path)) return path;
  std::vector<std::string> shipped;
  std::error_code error;
  for (const fs::path& folder : ShippedConfigFolders()) {
    if (fs::exists(folder / path, error)) return (folder / path).lexically_normal().string();
    if (!shipped.empty()) continue;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      if (entry.path().extension() == ".pbtxt") shipped.push_back(entry.path().filename().string());
    }
  }
  std::sort(shipped.begin(), shipped.end());
  return absl::NotFoundError(absl::StrCat(
      path, ": there is no such config in ", fs::current_path(error).string(),
      shipped.empty() ? ", and none are shipped beside this program"
                      : absl::StrCat(", and no shipped one of that name (", absl::StrJoin(shipped, ", "), ")")));
}

}  // namespace

int RunTool(int argc, char** argv, const std::string& help, const std::function<Status()>& body) {
  program = new fs::path(OwnProgram());
  if (const char* directory = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (chdir(directory) != 0) return Fail(absl::UnavailableError(absl::StrCat(directory, ": cannot be entered")));
  }
  std::vector<char*> arguments(argv, argv + argc);
  if (const Status status = TakeOverrides(&arguments); !status.ok()) return Fail(status);
  arguments.push_back(nullptr);
  int count = static_cast<int>(arguments.size()) - 1;
  char** values = arguments.data();
  GFLAGS_NAMESPACE::gflags_exitfunc = [](int code) { _exit(code == 0 ? 0 : 2); };
  FLAGS_logtostderr = true;
  gflags::ParseCommandLineNonHelpFlags(&count, &values, /*remove_flags=*/true);
  if (FLAGS_help || FLAGS_helpfull || FLAGS_helpshort) {
    fputs(help.c_str(), stdout);
    return 0;
  }
  // A file that may not grow is a fault of a write then, which has its sentence.
  signal(SIGXFSZ, SIG_IGN);
  google::InitGoogleLogging(argv[0]);
  if (count > 1) {
    return Fail(absl::InvalidArgumentError(absl::StrCat("\"", values[1], "\" is no flag; see --help")));
  }
  const Status status = CatchDeviceError(body);
  fflush(stdout);
  return status.ok() ? 0 : Fail(status);
}

const std::vector<std::string>& Overrides() { return *overrides; }

bool IsGiven(const char* flag) { return !gflags::GetCommandLineFlagInfoOrDie(flag).is_default; }

Status LoadPluginsOfFlag(const std::string& paths) {
  for (absl::string_view path : absl::StrSplit(paths, ',', absl::SkipEmpty())) {
    TRIREME_RETURN_IF_ERROR(LoadPlugin(std::string(path)));
  }
  return absl::OkStatus();
}

Status ParseConfig(const std::string& text, const std::string& name, Config* config) {
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> plugins, PluginsNamedIn(text, name));
  for (const std::string& plugin : plugins) {
    TRIREME_RETURN_IF_ERROR(Annotate(LoadPlugin(plugin), absl::StrCat(name, ": plugin")));
  }
  TRIREME_RETURN_IF_ERROR(ParseText(text, name, config));
  for (const std::string& assignment : Overrides()) {
    TRIREME_RETURN_IF_ERROR(ApplyOverride(assignment, config));
    if (assignment.rfind("plugin", 0) != 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--set ", assignment, ": plugins are loaded before fields are set; say --plugin=FILE"));
  }
  return absl::OkStatus();
}

Status CheckOutputFile(const char* flag, const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const auto refuse = [&](const auto&... why) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", path, ": ", why...));
  };
  std::error_code error;
  if (fs::is_directory(path, error)) return refuse("that is a folder; name a file");
  const std::string folder = fs::path(path).parent_path().string();
  if (!folder.empty() && !fs::is_directory(folder, error)) return refuse("there is no folder ", folder);
  return absl::OkStatus();
}

Status LoadConfig(const std::string& path, Config* config, std::string* found) {
  TRIREME_ASSIGN_OR_RETURN(*found, FindConfig(path));
  TRIREME_ASSIGN_OR_RETURN(const std::string text, ReadFile(*found));
  return ParseConfig(text, *found, config);
}

const std::atomic<bool>* StopRequested() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    return true;
  }();
  (void)installed;
  return &stop_requested;
}

}  // namespace trireme

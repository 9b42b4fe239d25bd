// Runs the tools as a user does: as processes, with a deadline for each wait.
#ifndef TRIREME_TESTS_END_TO_END_TOOL_PROCESS_H_
#define TRIREME_TESTS_END_TO_END_TOOL_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace trireme {

struct ToolResult {
  int exit_code = -1;  // 128 + the signal that ended it
  std::string output;  // stdout and stderr together
};

class ToolProcess {
 public:
  // `tool` is train, eval or detect, from the test's runfiles. Starts at once. `before` is a program, with arguments,
  // that starts it, as env or nsenter does, and becomes it.
  ToolProcess(const std::string& tool, const std::vector<std::string>& arguments,
              const std::vector<std::string>& before = {});
  ~ToolProcess();  // kills it if it still runs
  ToolProcess(const ToolProcess&) = delete;
  ToolProcess& operator=(const ToolProcess&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal_number);
  // Polls until `condition` holds or the process ends; false if it ended, or after `seconds`.
  bool WaitUntil(const std::function<bool()>& condition, double seconds = 60);
  // Kills it and fails the test after `seconds`.
  ToolResult Wait(double seconds = 120);

 private:
  bool Reap();

  pid_t pid_ = -1;
  bool ended_ = false;
  int exit_code_ = -1;
  std::string output_file_;
};

// Starts and waits.
ToolResult RunToolProcess(const std::string& tool, const std::vector<std::string>& arguments);

// Other processes that have `text` among their arguments and `in_environment` in their environment.
std::vector<pid_t> ProcessesOf(const std::string& text, const std::string& in_environment = "");
// False if after `seconds` there is still one.
bool WaitForNoProcessOf(const std::string& text, double seconds = 10);

// An empty folder of its own, below TEST_TMPDIR.
std::string NewFolder(const std::string& name);
std::string ReadAll(const std::string& path);
void WriteAll(const std::string& path, const std::string& text);
std::vector<nlohmann::json> ReadEvents(const std::string& run_folder);

// A config that trains in about a second.
std::string TinyConfig();

}  // namespace trireme

#endif  // TRIREME_TESTS_END_TO_END_TOOL_PROCESS_H_

#include "tools/comparison/run_train.h"

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "parallel/launch/child_process.h"
#include "tools/cli/command_line.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

std::string LastSentence(const std::string& log) {
  const auto text = ReadFile(log);
  if (!text.ok()) return "";
  std::string last;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipWhitespace())) last = std::string(line);
  return std::string(absl::StripPrefix(last, "train: "));
}

// A supervisor takes its ranks along; both have this long.
void EndGroup(ChildProcess* child) {
  kill(-child->pid(), SIGTERM);
  for (int i = 0; i < 100 && !child->ended(); ++i) {
    child->Reap();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (child->ended()) return;
  kill(-child->pid(), SIGKILL);
  while (!child->ended()) {
    child->Reap();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace

StatusOr<std::string> FindTrainTool() {
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  const fs::path train = own.parent_path() / "train";
  if (fs::exists(train, error)) return train.string();
  return absl::NotFoundError(absl::StrCat(train.string(), ": the train tool is not beside this one"));
}

Status RunTrain(const std::string& train, const std::vector<std::string>& arguments, const std::string& log,
                double seconds) {
  ChildOptions options;
  options.command = {"/bin/sh", "-c", "exec \"$@\" >\"$0\" 2>&1", log, train};
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  TRIREME_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Start(options));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!child.ended()) {
    child.Reap();
    if (child.ended()) break;
    if (StopRequested()->load()) {
      EndGroup(&child);
      return absl::CancelledError("stopped");
    }
    if (std::chrono::steady_clock::now() > deadline) {
      EndGroup(&child);
      return absl::DeadlineExceededError(absl::StrCat("it took longer than the ", seconds, " s of --timeout"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (child.outcome().ok()) return absl::OkStatus();
  // Whom a signal ends has no last words.
  if (absl::IsAborted(child.outcome())) return Annotate(child.outcome(), log);
  const std::string sentence = LastSentence(log);
  if (sentence.empty()) return child.outcome();
  return Status(child.outcome().code(), sentence);
}

}  // namespace trireme

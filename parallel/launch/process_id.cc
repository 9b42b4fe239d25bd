#include "parallel/launch/process_id.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace trireme {
namespace {

// Of proc(5)'s fields in /proc/PID/stat, from the third on.
constexpr size_t kState = 0, kStartTime = 19;
constexpr char kUnknownTime[] = "0";

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Where this process's number means something: one run of one system, and one space of numbers in it.
std::string NumberSpace() {
  std::string boot = ReadWhole("/proc/sys/kernel/random/boot_id");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  std::error_code error;
  return absl::StrCat(boot, "/", std::filesystem::read_symlink("/proc/self/ns/pid", error).string());
}

// What the system tells of a process behind its name; empty if there is no such process, or if it does not tell: a
// system may show users their own processes only, and a process may have no file to open any more.
std::vector<std::string> StatOf(pid_t process) {
  // The name is in parentheses, and may hold anything.
  const std::string line = ReadWhole(absl::StrCat("/proc/", process, "/stat"));
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return {};
  const std::vector<std::string> fields = absl::StrSplit(line.substr(name_end + 1), ' ', absl::SkipEmpty());
  return fields.size() > kStartTime ? fields : std::vector<std::string>();
}

bool IsNumberFree(pid_t process) { return kill(process, 0) != 0 && errno == ESRCH; }

enum class Seen { kCannotTell, kLives, kHasEnded };

Seen Look(const std::string& description) {
  const std::vector<std::string> parts = absl::StrSplit(description, ' ');
  int process = 0;
  if (parts.size() != 3 || parts[0] != NumberSpace() || !absl::SimpleAtoi(parts[1], &process)) {
    return Seen::kCannotTell;
  }
  const std::vector<std::string> stat = StatOf(process);
  // Who could not see itself has written a 0.
  if (stat.empty() || parts[2] == kUnknownTime) return IsNumberFree(process) ? Seen::kHasEnded : Seen::kCannotTell;
  if (stat[kStartTime] != parts[2]) return Seen::kHasEnded;
  // A zombie does nothing any more; its parent has not asked what became of it, and may never.
  return stat[kState] == "Z" || stat[kState] == "X" ? Seen::kHasEnded : Seen::kLives;
}

}  // namespace

std::string ProcessStartTime(pid_t process) {
  const std::vector<std::string> stat = StatOf(process);
  return stat.empty() ? kUnknownTime : stat[kStartTime];
}

std::string DescribeProcess(pid_t process) {
  return absl::StrCat(NumberSpace(), " ", process, " ", ProcessStartTime(process));
}

std::string DescribeThisProcess() { return DescribeProcess(getpid()); }

bool HasSurelyEnded(const std::string& description) { return Look(description) == Seen::kHasEnded; }

bool SurelyLives(const std::string& description) { return Look(description) == Seen::kLives; }

}  // namespace trireme

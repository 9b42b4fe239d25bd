#include "tests/end_to_end/tool_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/core/testing/waiting.h"

extern char** environ;

namespace trireme {

namespace fs = std::filesystem;

ToolProcess::ToolProcess(const std::string& tool, const std::vector<std::string>& arguments,
                         const std::vector<std::string>& before) {
  static int number = 0;
  output_file_ = NewFolder("output") + "/" + std::to_string(number++) + ".txt";
  const std::string program = (fs::current_path() / "tools" / tool).string();
  std::vector<std::string> texts = before;
  texts.push_back(program);
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output_file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int error = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    ADD_FAILURE() << program << " does not start: " << strerror(error);
    ended_ = true;
  }
}

ToolProcess::~ToolProcess() {
  if (ended_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ToolProcess::Signal(int signal_number) { kill(pid_, signal_number); }

bool ToolProcess::Reap() {
  if (ended_) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
  ended_ = true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return true;
}

bool ToolProcess::WaitUntil(const std::function<bool()>& condition, double seconds) {
  const auto start = Clock::now();
  while (SecondsSince(start) < seconds) {
    if (condition()) return true;
    if (Reap()) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

ToolResult ToolProcess::Wait(double seconds) {
  if (!Within(seconds, [&] { return Reap(); })) {
    ADD_FAILURE() << "the process did not end within " << seconds << " s; its output:\n" << ReadAll(output_file_);
    kill(pid_, SIGKILL);
    while (!Reap()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {exit_code_, ReadAll(output_file_)};
}

ToolResult RunToolProcess(const std::string& tool, const std::vector<std::string>& arguments) {
  return ToolProcess(tool, arguments).Wait();
}

std::string NewFolder(const std::string& name) {
  const char* root = std::getenv("TEST_TMPDIR");
  std::string path = std::string(root ? root : "/tmp") + "/" + name + ".XXXXXX";
  if (mkdtemp(path.data()) == nullptr) ADD_FAILURE() << path << ": cannot be created";
  return path;
}

std::vector<pid_t> ProcessesOf(const std::string& text, const std::string& in_environment) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const pid_t pid = atoi(entry.path().filename().c_str());
    if (pid <= 0 || pid == getpid()) continue;
    const std::string folder = entry.path().string();
    if (ReadAll(folder + "/cmdline").find(text) == std::string::npos) continue;
    if (ReadAll(folder + "/environ").find(in_environment) != std::string::npos) found.push_back(pid);
  }
  return found;
}

bool WaitForNoProcessOf(const std::string& text, double seconds) {
  return Within(seconds, [&] { return ProcessesOf(text).empty(); });
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteAll(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::vector<nlohmann::json> ReadEvents(const std::string& run_folder) {
  std::vector<nlohmann::json> events;
  std::ifstream file(run_folder + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json event = nlohmann::json::parse(line, nullptr, false);
    if (event.is_object()) events.push_back(event);
  }
  return events;
}

std::string TinyConfig() {
  const std::string path = NewFolder("config") + "/tiny.pbtxt";
  WriteAll(path, R"(
    model {
      [model/ssd] {
        num_classes: 6
        image_size: 64
        backbone { [backbone/resnet_small] {} }
      }
    }
    train_data { [dataset/shapes] { num_images: 64 width: 64 height: 64 seed: 1 } }
    eval_data { [dataset/shapes] { num_images: 8 width: 64 height: 64 seed: 2 } }
    transforms { [transform/flip] {} }
    device: "cpu"
    threads_per_worker: 1
    global_batch_size: 4
    steps: 8
    optimizer { [optimizer/sgd] { momentum: 0.9 weight_decay: 5e-4 } }
    schedule { [schedule/cosine] { learning_rate: 0.01 warmup_steps: 2 } }
    evaluation { pictures: 2 }
  )");
  return path;
}

}  // namespace trireme

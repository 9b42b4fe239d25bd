// One job on two hosts: network namespaces joined by a cable (veth), a worker in each, Gloo, and the store over TCP.
// Needs root, and iproute2.
#include <errno.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/train/checkpoint_folder.h"
#include "tests/core/testing/waiting.h"
#include "tests/end_to_end/tool_process.h"

namespace trireme {
namespace {

// A network of its own, as long as it lives.
class Host {
 public:
  Host() {
    int ready[2];
    if (pipe(ready) != 0) return;
    process_ = fork();
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int error = unshare(CLONE_NEWNET) == 0 ? 0 : errno;
      if (write(ready[1], &error, sizeof(error)) < 0) _exit(1);
      while (true) pause();
    }
    if (read(ready[0], &error_, sizeof(error_)) != sizeof(error_)) error_ = EIO;
    close(ready[0]);
    close(ready[1]);
  }
  ~Host() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  int error() const { return error_; }
  pid_t process() const { return process_; }
  std::vector<std::string> Enter() const {
    return {"nsenter", absl::StrCat("--net=/proc/", process_, "/ns/net"), "--"};
  }
  bool Do(const std::string& command) const {
    std::string whole;
    for (const std::string& word : Enter()) whole += word + " ";
    return system((whole + command + " 2>&1").c_str()) == 0;
  }

 private:
  pid_t process_ = -1;
  int error_ = EIO;
};

class Hosts : public testing::Test {
 protected:
  void SetUp() override {
    for (const Host& host : hosts_) {
      if (host.error() != 0) GTEST_SKIP() << "no network of one's own without root: " << strerror(host.error());
    }
    if (!hosts_[0].Do("ip link add cable type veth peer name cable netns " + std::to_string(hosts_[1].process()))) {
      GTEST_SKIP() << "no cable between two networks: is iproute2 installed, and the kernel's veth there?";
    }
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(hosts_[i].Do(absl::StrCat("ip addr add 10.77.0.", i + 1, "/24 dev cable")));
      ASSERT_TRUE(hosts_[i].Do("ip link set cable up") && hosts_[i].Do("ip link set lo up"));
    }
    config_ = TinyConfig();
    WriteAll(config_, ReadAll(config_) + "communicator { [communicator/gloo] {} }\n");
  }

  using Environment = std::vector<std::string>;
  static Environment Ours(int rank) {
    return {absl::StrCat("TRIREME_RANK=", rank),
            "TRIREME_WORLD_SIZE=2",
            "TRIREME_LOCAL_RANK=0",
            "TRIREME_LOCAL_WORLD_SIZE=1",
            "TRIREME_RENDEZVOUS=tcp://10.77.0.1:29400",
            "TRIREME_JOB_SECRET=a secret of sixteen or more"};
  }
  static Environment Torchrun(int rank) {
    return {absl::StrCat("RANK=", rank),
            "WORLD_SIZE=2",
            "LOCAL_RANK=0",
            "LOCAL_WORLD_SIZE=1",
            "MASTER_ADDR=10.77.0.1",
            "MASTER_PORT=29500",
            "TRIREME_JOB_SECRET=a secret of sixteen or more"};
  }
  std::unique_ptr<ToolProcess> Start(int rank, const std::string& out, const Environment& environment,
                                     const std::vector<std::string>& more = {}) const {
    std::vector<std::string> before = hosts_[rank].Enter();
    before.push_back("env");
    before.insert(before.end(), environment.begin(), environment.end());
    std::vector<std::string> arguments = {"--config=" + config_, "--out=" + out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<ToolProcess>("train", arguments, before);
  }
  static int StepsDone(const std::string& run) {
    const auto events = ReadEvents(run);
    return events.empty() ? 0 : events.back().value("step", 0);
  }
  static std::string Model(const std::string& run) { return ReadAll(*FindCheckpoint(run) + "/model.safetensors"); }

  Host hosts_[2];
  std::string config_;
};

TEST_F(Hosts, TrainAsTwoWorkersOfOneHost) {
  const std::string one = NewFolder("one");
  ASSERT_EQ(RunToolProcess("train", {"--config=" + config_, "--out=" + one, "--workers=2"}).exit_code, 0);
  for (const auto& launcher : {Ours, Torchrun}) {
    const std::string two = NewFolder("two");
    const auto leader = Start(0, two, launcher(0)), follower = Start(1, two, launcher(1));
    const ToolResult of_leader = leader->Wait(), of_follower = follower->Wait();
    ASSERT_EQ(of_leader.exit_code, 0) << of_leader.output << of_follower.output;
    ASSERT_EQ(of_follower.exit_code, 0) << of_leader.output << of_follower.output;
    EXPECT_TRUE(Model(one) == Model(two));
  }
}

TEST_F(Hosts, ALinkThatDropsForFiveSecondsIsSurvivedOrEndsInASentence) {
  const std::string whole = NewFolder("whole");
  const std::vector<std::string> steps = {"--steps=16"};
  ASSERT_EQ(RunToolProcess("train", {"--config=" + config_, "--out=" + whole, "--workers=2", steps[0]}).exit_code, 0);
  for (const bool survives : {true, false}) {
    const std::string run = NewFolder("run");
    const std::vector<std::string> more = {steps[0], "--set",
                                           absl::StrCat("communicator.timeout_seconds=", survives ? 60 : 2)};
    const auto leader = Start(0, run, Ours(0), more), follower = Start(1, run, Ours(1), more);
    ASSERT_TRUE(leader->WaitUntil([&] { return StepsDone(run) >= 3; })) << leader->Wait(1).output;
    ASSERT_TRUE(hosts_[0].Do("ip link set cable down"));
    const auto down = Clock::now();
    std::this_thread::sleep_for(std::chrono::seconds(5));
    ASSERT_TRUE(hosts_[0].Do("ip link set cable up"));
    for (const auto& process : {leader.get(), follower.get()}) {
      const ToolResult result = process->Wait(90);
      EXPECT_EQ(result.exit_code, survives ? 0 : 1) << result.output;
      if (survives) continue;
      // Whichever of the two it misses first: the peer, or the store.
      EXPECT_TRUE(absl::StrContains(result.output, "waited 2 s for rank") ||
                  absl::StrContains(result.output, "has not answered for 2 s"))
          << result.output;
      EXPECT_LT(SecondsSince(down), 30);
    }
    if (survives) {
      EXPECT_TRUE(Model(whole) == Model(run));
    }
  }
}

TEST_F(Hosts, AHostThatIsLostEndsTheOthersWork) {
  const std::string run = NewFolder("run");
  const std::vector<std::string> more = {"--steps=100000", "--set", "communicator.timeout_seconds=5"};
  for (const bool killed : {true, false}) {
    const std::string of_run = run + (killed ? "/killed" : "/cut");
    const auto leader = Start(0, of_run, Ours(0), more), follower = Start(1, of_run, Ours(1), more);
    ASSERT_TRUE(leader->WaitUntil([&] { return StepsDone(of_run) >= 3; })) << leader->Wait(1).output;
    const auto start = Clock::now();
    if (killed) {
      follower->Signal(SIGKILL);
    } else {
      ASSERT_TRUE(hosts_[0].Do("ip link set cable down"));
    }
    const ToolResult result = leader->Wait(60);
    EXPECT_LT(SecondsSince(start), 20);
    EXPECT_EQ(result.exit_code, 1) << result.output;
    EXPECT_TRUE(absl::StrContains(result.output, "rank 1")) << result.output;
    if (killed) continue;
    const ToolResult of_follower = follower->Wait(60);
    EXPECT_LT(SecondsSince(start), 30);
    EXPECT_EQ(of_follower.exit_code, 1) << of_follower.output;
    EXPECT_TRUE(absl::StrContains(of_follower.output, "rank 0")) << of_follower.output;
  }
}

}  // namespace
}  // namespace trireme

// What is particular to the Gloo communicator: who gets in, what is left behind, and who is named in a long ring.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "core/base/clock.h"
#include "parallel/communicator/gloo/gloo_challenge.h"
#include "parallel/communicator/gloo/gloo_communicator.pb.h"
#include "tests/parallel/testing/gloo_jobs.h"
#include "tests/parallel/testing/jobs.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

void ExpectMentions(const Status& status, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    EXPECT_NE(std::string(status.message()).find(word), std::string::npos) << status << " does not say " << word;
  }
}

Status Reduce(Communicator& communicator, Device& device, int64_t size = 100) {
  return communicator.AllReduce(Tensor::Zeros(device, {size}), ReduceOperation::kSum, device.compute_stream());
}

Status ReduceOnce(Communicator& communicator) {
  const auto device = TestDevice();
  const Tensor tensor = Tensor::From(*device, {1}, std::vector<float>{1});
  TRIREME_RETURN_IF_ERROR(communicator.AllReduce(tensor, ReduceOperation::kSum, device->compute_stream()));
  EXPECT_EQ(tensor.ToVector<float>()[0], static_cast<float>(communicator.size()));
  return absl::OkStatus();
}

// A store that lets a test in between.
class MeddledStore : public MemoryStore {
 public:
  Status Set(const std::string& key, const std::string& value) override {
    if (before_set) before_set(key, value);
    return MemoryStore::Set(key, value);
  }
  StatusOr<std::optional<std::string>> Find(const std::string& key) const override {
    auto found = MemoryStore::Find(key);
    if (after_find && found.ok() && found->has_value()) after_find(key, &**found);
    return found;
  }

  std::function<void(const std::string& key, const std::string& value)> before_set;
  std::function<void(const std::string& key, std::string* value)> after_find;
};

// Comes first to every address where ranks wait for each other, and says `words`.
class Stranger {
 public:
  explicit Stranger(std::string words) : words_(std::move(words)) {}
  ~Stranger() {
    for (int file : files_) close(file);
  }
  void Meddle(const std::string& key, const std::string& value) {
    for (const absl::string_view address : absl::StrSplit(value, ' ')) {
      const std::string bytes = absl::HexStringToBytes(address);
      sockaddr_in where;
      if (bytes.size() < sizeof(where)) continue;  // a rank's own place
      std::memcpy(&where, bytes.data(), sizeof(where));
      ASSERT_EQ(where.sin_family, AF_INET) << key;
      EXPECT_EQ(ntohl(where.sin_addr.s_addr), INADDR_LOOPBACK);
      const int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      ASSERT_EQ(connect(file, reinterpret_cast<const sockaddr*>(&where), sizeof(where)), 0);
      if (!words_.empty()) {
        EXPECT_EQ(send(file, words_.data(), words_.size(), MSG_NOSIGNAL), static_cast<ssize_t>(words_.size()));
      }
      std::lock_guard<std::mutex> lock(mutex_);
      files_.push_back(file);
    }
    // Time for the ranks to take it for the peer.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }

 private:
  const std::string words_;
  std::mutex mutex_;
  std::vector<int> files_;
};

TEST(GlooStrangerTest, OneWhoComesFirstIsSentAwayAndTheJobGoesOn) {
  const std::string page_request = "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: everything there is\r\n\r\n";
  for (const std::string& words : {std::string(), page_request, std::string("x")}) {
    for (int world : {2, 3}) {
      Stranger stranger(words);
      const auto store = std::make_shared<MeddledStore>();
      store->before_set = [&](const std::string& key, const std::string& value) {
        if (absl::StrContains(key, ".1.address.")) stranger.Meddle(key, value);
      };
      for (const Status& status : RunGlooRanks(world, ReduceOnce, /*timeout_seconds=*/8, store)) {
        EXPECT_TRUE(status.ok()) << status;
      }
    }
  }
}

// Gloo of 2023 and later asks whoever connects which pair it is for, so one who keeps silent is no peer.
#if __has_include(<gloo/transport/tcp/listener.h>)
constexpr bool kSilentOnesAreNoPeers = true;
#else
constexpr bool kSilentOnesAreNoPeers = false;
#endif

TEST(GlooStrangerTest, OneWhoDoesNotGiveUpIsASentenceOrNoPeer) {
  Stranger stranger("");
  const auto store = std::make_shared<MeddledStore>();
  store->before_set = [&](const std::string& key, const std::string& value) {
    if (absl::StrContains(key, ".address.")) stranger.Meddle(key, value);
  };
  const double start = Now();
  for (const Status& status : RunGlooRanks(2, ReduceOnce, /*timeout_seconds=*/2, store)) {
    if (kSilentOnesAreNoPeers) {
      EXPECT_TRUE(status.ok()) << status;
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    ExpectMentions(status, {"whoever is connected as rank ", " did not answer"});
  }
  EXPECT_LT(Now() - start, 20);
}

TEST(GlooStrangerTest, AnotherJobsWorkerIsRefused) {
  const auto store = std::make_shared<MeddledStore>();
  std::atomic<int> asked{0};
  store->after_find = [&](const std::string& key, std::string* value) {
    if (absl::EndsWith(key, ".secret") && asked++ == 0) *value = "another job's";
  };
  const double start = Now();
  for (const Status& status : RunGlooRanks(2, ReduceOnce, /*timeout_seconds=*/20, store)) {
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
    ExpectMentions(status, {"does not know this job's secret", "another job's worker"});
  }
  EXPECT_LT(Now() - start, 20);
}

TEST(GlooStrangerTest, AnAnswerIsGoodForOnePlaceOnly) {
  const ProofBytes challenge = NewChallenge(), other = NewChallenge();
  const ProofBytes answer = AnswerTo(challenge, "secret", "all", 0, 1);
  EXPECT_EQ(answer, AnswerTo(challenge, "secret", "all", 0, 1));
  for (const ProofBytes& wrong :
       {AnswerTo(other, "secret", "all", 0, 1), AnswerTo(challenge, "Secret", "all", 0, 1),
        AnswerTo(challenge, "secret", "all-1", 0, 1), AnswerTo(challenge, "secret", "all", 1, 0),
        AnswerTo(challenge, "secret", "all", 0, 2)}) {
    EXPECT_NE(answer, wrong);
  }
}

int NumEntries(const std::string& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(GlooTest, NothingIsLeftBehind) {
  const auto job = [](bool fail) {
    RunGlooJob(3, [fail](Communicator& communicator) -> Status {
      const auto device = TestDevice();
      TRIREME_ASSIGN_OR_RETURN(const auto duplicate, communicator.Duplicate());
      TRIREME_RETURN_IF_ERROR(Reduce(*duplicate, *device));
      if (fail && communicator.rank() == 1) return absl::UnknownError("bad");
      return Reduce(communicator, *device);
    }).IgnoreError();
  };
  job(false);  // what libraries open once and keep
  const int files = NumEntries("/proc/self/fd"), threads = NumEntries("/proc/self/task");
  for (int i = 0; i < 3; ++i) {
    job(false);
    job(true);
  }
  EXPECT_EQ(NumEntries("/proc/self/fd"), files);
  EXPECT_EQ(NumEntries("/proc/self/task"), threads);
}

// Those next to the late one are not the only ones that wait for it.
TEST(GlooTest, TheLateRankIsNamedNotTheOnesItKeepsWaiting) {
  for (int late : {1, 3}) {
    const std::vector<Status> results = RunGlooRanks(
        5,
        [late](Communicator& communicator) -> Status {
          const auto device = TestDevice();
          TRIREME_RETURN_IF_ERROR(Reduce(communicator, *device));
          if (communicator.rank() == late) std::this_thread::sleep_for(std::chrono::seconds(4));
          return Reduce(communicator, *device, 100000);
        },
        /*timeout_seconds=*/2);
    for (const Status& status : results) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
      ExpectMentions(status, {absl::StrCat("waited 2 s for rank ", late, " in AllReduce of 400000 bytes"), "(call 2)"});
      EXPECT_EQ(status, results[0]);
    }
  }
}

// A root has sent its part of a broadcast and gone on, where its peers still are.
TEST(GlooTest, ARankThatIsAheadIsNeitherLateNorInAnotherCall) {
  const Status status = RunGlooJob(3, [](Communicator& communicator) -> Status {
    const auto device = TestDevice();
    Stream& stream = device->compute_stream();
    const Tensor tensor = Tensor::Zeros(*device, {100});
    for (int i = 0; i < 2; ++i) {
      if (communicator.rank() == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1600));
      TRIREME_RETURN_IF_ERROR(communicator.Broadcast(tensor, 0, stream));
      TRIREME_RETURN_IF_ERROR(communicator.AllReduce(tensor, ReduceOperation::kSum, stream));
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

// It has sent all that its peers wait for, some of which is still under way.
TEST(GlooTest, ARankThatHasDoneItsPartMayLeave) {
  for (const char* done : {"2/0 3/0 0", "1/0 3/0 0", "2/0 2/0 0"}) {
    const auto store = std::make_shared<MemoryStore>();
    const bool all = std::string(done) == "2/0 3/0 0";
    const std::vector<Status> results = RunGlooRanks(
        2,
        [&](Communicator& communicator) -> Status {
          const auto device = TestDevice();
          Stream& stream = device->compute_stream();
          const Tensor tensor = Tensor::Zeros(*device, {3});
          TRIREME_RETURN_IF_ERROR(communicator.Barrier(stream));
          const auto pause = [&] {
            // What rank 0 is about to do takes long to arrive.
            if (communicator.rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1800));
          };
          if (communicator.rank() == 0) {
            TRIREME_RETURN_IF_ERROR(store->Set("gloo.all.done.0", done));
            TRIREME_RETURN_IF_ERROR(store->Set("gloo.left.0", ""));
          }
          pause();
          TRIREME_RETURN_IF_ERROR(communicator.Broadcast(tensor, 0, stream));
          pause();
          for (int i = 0; i < 3; ++i) {
            TRIREME_RETURN_IF_ERROR(communicator.rank() == 0 ? communicator.Send(tensor, 1, stream)
                                                             : communicator.Receive(tensor, 0, stream));
            if (i == 1) pause();
          }
          return absl::OkStatus();
        },
        60, store);
    EXPECT_EQ(results[1].ok(), all) << done << ": " << results[1];
    if (!all) ExpectMentions(results[1], {"waits for rank 0 in ", "but that worker has ended"});
  }
}

TEST(GlooTest, TalliesAreReadAsTheyWereWritten) {
  GlooTally tally;
  tally.calls = 7;
  tally.sent = {0, 4};
  tally.received = {5, 0};
  const auto read = DecodeTally(Encode(tally));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->calls, 7);
  EXPECT_EQ(read->sent, tally.sent);
  EXPECT_EQ(read->received, tally.received);
  for (const char* torn : {"", "7", "7/0 4", "7/0 x/5 0", "7/0/5 0"})
    EXPECT_FALSE(DecodeTally(torn).has_value()) << torn;
}

TEST(GlooTest, RanksThatDoNotConnectAreNamed) {
  const auto store = std::make_shared<MemoryStore>();
  GlooJobOptions options;
  options.size = 3;
  options.timeout_seconds = 0.3;
  std::thread other([&] {
    GlooJobOptions second = options;
    second.rank = 1;
    EXPECT_FALSE(MakeGlooCommunicator(store, second).ok());
  });
  const Status status = MakeGlooCommunicator(store, options).status();
  other.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  ExpectMentions(status, {"waited 0.3 s for rank 2 ", "connect"});
}

TEST(GlooTest, ALauncherRefusesWhatCannotRun) {
  GlooCommunicatorConfig config;
  EXPECT_TRUE(MakeComponent<Launcher>("communicator/gloo", config).ok());
  config.set_timeout_seconds(-1);
  const Status status = MakeComponent<Launcher>("communicator/gloo", config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ExpectMentions(status, {"timeout_seconds is -1"});

  GlooJobOptions options;
  options.size = 2;
  options.listen_on = "no.such.place.invalid";
  const Status unknown = MakeGlooCommunicator(std::make_shared<MemoryStore>(), options).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  ExpectMentions(unknown, {"listen_on is \"no.such.place.invalid\""});
}

TEST(GlooTest, AnInterfaceMayBeNamedInPlaceOfItsAddress) {
  const auto store = std::make_shared<MemoryStore>();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      GlooJobOptions options;
      options.rank = rank;
      options.size = 2;
      options.listen_on = "lo";
      const auto communicator = MakeGlooCommunicator(store, options);
      ASSERT_TRUE(communicator.ok()) << communicator.status();
      EXPECT_TRUE(ReduceOnce(**communicator).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace trireme

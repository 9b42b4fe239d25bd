// A store over TCP against those who do not belong, and against lost connections and processes.
#include "parallel/launch/tcp_store.h"

#include <glog/logging.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "parallel/launch/tcp_store_server.h"

namespace trireme {
namespace {

constexpr char kSecret[] = "a secret of sixteen or more";

double SecondsSince(SocketClock::time_point start) {
  return std::chrono::duration<double>(SocketClock::now() - start).count();
}

bool Within(double seconds, const std::function<bool()>& condition) {
  for (const auto start = SocketClock::now(); SecondsSince(start) < seconds;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return condition();
}

class Warnings : public google::LogSink {
 public:
  Warnings() { google::AddLogSink(this); }
  ~Warnings() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity, const char*, const char*, int, const google::LogMessageTime&, const char* message,
            size_t size) override {
    std::lock_guard<std::mutex> lock(mutex_);
    text_.append(message, size).append("\n");
  }
  std::string text() {
    std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }
  bool Tell(const std::string& words) {
    return Within(10, [&] { return absl::StrContains(text(), words); });
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

std::unique_ptr<TcpStoreServer> Serve(TcpStoreServerOptions options = {}) {
  options.where = {"127.0.0.1", 0};
  options.job = "this-job";
  options.secret = kSecret;
  options.world_size = 4;
  if (options.claim_seconds == 5) options.claim_seconds = 1;
  if (options.lost_seconds == 5) options.lost_seconds = 0.5;
  auto server = TcpStoreServer::Start(options);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

HostAndPort WhereIs(const TcpStoreServer& server) { return *ParseTcpAddress("tcp://" + server.address()); }

TcpStoreOptions Client(const HostAndPort& where, int rank = 1) {
  TcpStoreOptions options;
  options.where = where;
  options.job = "this-job";
  options.secret = kSecret;
  options.rank = rank;
  options.timeout_seconds = 10;
  options.gone_seconds = 0.3;
  return options;
}

std::unique_ptr<TcpStore> Join(const TcpStoreOptions& options) {
  auto store = TcpStore::Join(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

Socket Connect(const HostAndPort& where) {
  bool refused = false;
  auto socket = ConnectTo(where, SocketClock::now() + std::chrono::seconds(10), &refused);
  EXPECT_TRUE(socket.ok()) << socket.status();
  return *std::move(socket);
}

// True when the server has ended the connection; what it still had to say is thrown away.
bool IsClosed(const Socket& socket) {
  char block[4096];
  while (true) {
    const ssize_t got = recv(socket.file(), block, sizeof(block), 0);
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) return true;
  }
}

TEST(TcpAddressTest, Parses) {
  EXPECT_EQ(ParseTcpAddress("tcp://node-1:2000")->host, "node-1");
  EXPECT_EQ(ParseTcpAddress("tcp://[fe80::1]:80")->host, "fe80::1");
  EXPECT_EQ(ParseTcpAddress("tcp://[fe80::1]:80")->port, 80);
  for (const char* wrong : {"", "tcp://", "tcp://host", "tcp://host:", "tcp://host:0", "tcp://host:65536", "tcp://:80",
                            "host:80", "tcp://host:8o"}) {
    EXPECT_EQ(ParseTcpAddress(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(TcpStoreTest, WhoDoesNotBelongIsRefusedAndLoggedWithTheReason) {
  Warnings warnings;
  const auto server = Serve();
  const HostAndPort where = WhereIs(*server);
  const auto member = Join(Client(where, 1));
  const auto refusal = [&](const std::function<void(TcpStoreOptions*)>& change) {
    TcpStoreOptions options = Client(where, 2);
    change(&options);
    const Status status = TcpStore::Join(options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "TRIREME_JOB_SECRET")) << status;
    // A name of its own, of the machine it comes from.
    EXPECT_TRUE(warnings.Tell("the job's store refused 127.0.0.1:"));
  };
  refusal([](TcpStoreOptions* options) { options->secret = "another secret of many"; });
  EXPECT_TRUE(warnings.Tell("it does not know the job's secret"));
  refusal([](TcpStoreOptions* options) { options->job = "that-job"; });
  EXPECT_TRUE(warnings.Tell("it is of another job, \"that-job\""));
  refusal([](TcpStoreOptions* options) {
    options->job = "evil\x1b[2J\n" + std::string(500, 'x');
    options->secret = "another secret of many";
  });
  EXPECT_TRUE(warnings.Tell("it says that it is of another job, \"evil\\x1b[2J\\n"));
  refusal([](TcpStoreOptions* options) { options->rank = 4; });
  EXPECT_TRUE(warnings.Tell("it says that it is rank 4, of 4"));
  refusal([](TcpStoreOptions* options) { options->rank = 1; });
  EXPECT_TRUE(warnings.Tell("rank 1 has come already, from 127.0.0.1:"));
  EXPECT_FALSE(absl::StrContains(warnings.text(), kSecret));
  EXPECT_EQ(server->Missing(), (std::vector<int>{2, 3}));
  // None of which has done any harm.
  ASSERT_TRUE(member->Set("key", "value").ok());
  EXPECT_EQ(**server->Find("key"), "value");
  EXPECT_FALSE(server->fault().has_value());
}

TEST(TcpStoreTest, GarbageAndSilenceEndInAClosedConnection) {
  Warnings warnings;
  const auto server = Serve();
  const HostAndPort where = WhereIs(*server);
  const auto member = Join(Client(where));
  const std::vector<std::string> kGarbage = {
      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
      std::string(100000, '\xff'),
      std::string("\0\0\0\0", 4),                        // an empty message
      std::string("\0\0\0\3abc", 7),                     // no list
      std::string("\0\0\0\10\xff\xff\xff\xff....", 12),  // a string longer than its message
      EncodeStoreMessage({"find", "key"}),
      EncodeStoreMessage(ClaimMessage({"this-job", 2, "me", NewStoreChallenge(), std::string(32, 'x')})),
      EncodeStoreMessage(StoreMessage(50, "")),
  };
  for (const std::string& garbage : kGarbage) {
    const Socket socket = Connect(where);
    SendAll(socket, garbage, SocketClock::now() + std::chrono::seconds(5)).IgnoreError();
    EXPECT_TRUE(Within(3, [&] { return IsClosed(socket); })) << garbage.substr(0, 30);
    EXPECT_TRUE(member->Set("key", garbage).ok());
  }
  // Never a byte; a byte now and then; gone at once.
  const Socket silent = Connect(where), slow = Connect(where);
  { const Socket gone = Connect(where); }
  std::atomic<bool> over{false};
  std::thread dripping([&] {
    while (!over && send(slow.file(), "\0", 1, MSG_NOSIGNAL) >= 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  EXPECT_TRUE(Within(4, [&] { return IsClosed(silent) && IsClosed(slow); }));
  over = true;
  dripping.join();
  EXPECT_TRUE(warnings.Tell("it did not say who it is for 1 s"));
  EXPECT_TRUE(warnings.Tell("it left before it had said who it is"));
  EXPECT_EQ(**member->Find("key"), kGarbage.back());
  EXPECT_FALSE(server->fault().has_value());
}

TEST(TcpStoreTest, AProofIsGoodForOneConnectionAndOneDirection) {
  const auto server = Serve();
  const HostAndPort where = WhereIs(*server);
  const auto deadline = SocketClock::now() + std::chrono::seconds(10);
  const auto listen = ListenOn({"127.0.0.1", 0});
  ASSERT_TRUE(listen.ok());
  // Somebody in the middle, who knows no secret: what the client proves to him he repeats to the server, on another
  // connection.
  std::string claim_of_client;
  std::thread middle([&] {
    pollfd file = {listen->file(), POLLIN, 0};
    ASSERT_GT(poll(&file, 1, 10000), 0);
    const Socket client = *AcceptFrom(*listen);
    SendAll(client, EncodeStoreMessage(HelloMessage(NewStoreChallenge())), deadline).IgnoreError();
    std::string head, body;
    ASSERT_TRUE(ReceiveAll(client, kStoreMessageHead, deadline, &head).ok());
    ASSERT_TRUE(ReceiveAll(client, BodySize(head), deadline, &body).ok());
    claim_of_client = head + body;
    const auto claim = DecodeClaim(*DecodeStoreMessage(body));
    ASSERT_TRUE(claim.has_value());
    SendAll(client, EncodeStoreMessage({"welcome", claim->proof}), deadline).IgnoreError();
  });
  const Status status = TcpStore::Join(Client(*ParseTcpAddress("tcp://" + OwnAddress(*listen)))).status();
  middle.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "does not know the job's secret")) << status;
  const Socket replay = Connect(where);
  ASSERT_TRUE(SendAll(replay, claim_of_client, deadline).ok());
  EXPECT_TRUE(Within(3, [&] { return IsClosed(replay); }));
  EXPECT_EQ(server->Missing().size(), 3u);
}

// Children, so that their files are not this process's.
pid_t Flood(const HostAndPort& where, int connections) {
  const pid_t child = fork();
  if (child != 0) return child;
  bool refused = false;
  for (int i = 0; i < connections; ++i) {
    auto socket = ConnectTo(where, SocketClock::now() + std::chrono::seconds(5), &refused);
    if (socket.ok() && i % 3 == 0) send(socket->file(), "\1\1\1\1\1", 5, MSG_NOSIGNAL);
    if (socket.ok() && i % 3 == 1) new Socket(*std::move(socket));
  }
  while (true) pause();
}

TEST(TcpStoreTest, ThousandsOfConnectionsKeepNobodyOut) {
  rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  const rlimit before = files;
  TcpStoreServerOptions options;
  for (const bool few_files : {false, true}) {
    // With few files it is the system that says no.
    options.most_unproven = few_files ? 10000 : 64;
    files.rlim_cur = few_files ? 60 : before.rlim_cur;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
    const auto server = Serve(options);
    const HostAndPort where = WhereIs(*server);
    const auto member = Join(Client(where, 1));
    files.rlim_cur = before.rlim_cur;
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) children.push_back(Flood(where, 800));
    double slowest = 0;
    const auto start = SocketClock::now();
    while (SecondsSince(start) < 3) {
      const auto asked = SocketClock::now();
      ASSERT_TRUE(member->Set("key", "value").ok());
      slowest = std::max(slowest, SecondsSince(asked));
    }
    EXPECT_LT(slowest, 2);
    const auto newcomer = Join(Client(where, 2));
    EXPECT_EQ(**newcomer->Find("key"), "value");
    for (pid_t child : children) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    EXPECT_FALSE(server->fault().has_value());
    setrlimit(RLIMIT_NOFILE, &before);
  }
}

TEST(TcpStoreTest, ARankThatLeavesWithoutAWordIsAFaultAndOneThatEndsIsNot) {
  const auto server = Serve();
  auto well = Join(Client(WhereIs(*server), 1)), lost = Join(Client(WhereIs(*server), 2));
  ASSERT_TRUE(well->Set(EndedKey(1), "").ok());
  well.reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  EXPECT_FALSE(server->fault().has_value());
  lost.reset();
  ASSERT_TRUE(Within(3, [&] { return server->fault().has_value(); }));
  EXPECT_EQ(server->fault()->rank, 2);
  EXPECT_TRUE(absl::StrContains(server->fault()->status.message(), "is gone")) << server->fault()->status;
}

TEST(TcpStoreTest, AStoreThatIsGoneEndsEveryCall) {
  auto server = Serve();
  const auto member = Join(Client(WhereIs(*server)));
  std::thread end([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    server.reset();
  });
  const auto start = SocketClock::now();
  const Status status = member->Wait("key", "a value", 30).status();
  end.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "rank 0's process has ended")) << status;
  EXPECT_LT(SecondsSince(start), 5);
  EXPECT_EQ(member->Set("key", "").code(), absl::StatusCode::kUnavailable);
}

// Between a client and its store; can be cut, and can hold everything back.
class Wire {
 public:
  explicit Wire(const HostAndPort& to) : to_(to), listening_(*ListenOn({"127.0.0.1", 0})) {
    thread_ = std::thread([this] { Run(); });
  }
  ~Wire() {
    over_ = true;
    thread_.join();
  }
  HostAndPort where() const { return *ParseTcpAddress("tcp://" + OwnAddress(listening_)); }
  std::atomic<bool> cut{false}, stalled{false};

 private:
  void Run() {
    while (!over_) {
      if (cut.exchange(false)) {
        client_.Close();
        server_.Close();
      }
      if (stalled) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      if (!client_.open()) {
        client_ = *AcceptFrom(listening_);
        if (client_.open()) server_ = Connect(to_);
      }
      if (client_.open() && !(Move(client_, server_) && Move(server_, client_))) {
        client_.Close();
        server_.Close();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
  static bool Move(const Socket& from, const Socket& to) {
    char block[4096];
    const ssize_t got = recv(from.file(), block, sizeof(block), 0);
    if (got < 0) return errno == EAGAIN;
    return got > 0 &&
           SendAll(to, std::string(block, static_cast<size_t>(got)), SocketClock::now() + std::chrono::seconds(5)).ok();
  }

  const HostAndPort to_;
  const Socket listening_;
  Socket client_, server_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

TEST(TcpStoreTest, LostConnectionsAndSilencesShorterThanTheDeadlineAreNotNoticed) {
  TcpStoreServerOptions options;
  options.lost_seconds = 3;
  const auto server = Serve(options);
  Wire wire(WhereIs(*server));
  auto client = Client(wire.where());
  client.timeout_seconds = 3;
  const auto member = Join(client);
  std::atomic<bool> over{false};
  std::thread trouble([&] {
    for (int i = 0; i < 20; ++i) {
      wire.cut = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    wire.stalled = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    wire.stalled = false;
    over = true;
  });
  int done = 0;
  while (!over) {
    const Status set = member->Set("key", std::to_string(++done));
    ASSERT_TRUE(set.ok()) << set;
    ASSERT_EQ(**member->Find("key"), std::to_string(done));
    ASSERT_EQ(*member->SetIfAbsent("once." + std::to_string(done), "mine"), "mine");
  }
  trouble.join();
  EXPECT_GT(done, 2);
  EXPECT_FALSE(server->fault().has_value());
  // Longer ones are told.
  wire.stalled = true;
  const Status late = member->Set("key", "");
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded) << late;
  EXPECT_TRUE(absl::StrContains(late.message(), "has not answered for 3 s")) << late;
  const auto start = SocketClock::now();
  EXPECT_EQ(member->Find("key").status(), late);
  EXPECT_LT(SecondsSince(start), 1);
}

TEST(TcpStoreTest, OneOfSeveralPortsIsFoundAmongStrangers) {
  // Taken by others: one that says nothing, and another job's store.
  const auto silent = ListenOn({"127.0.0.1", 0});
  ASSERT_TRUE(silent.ok());
  const int first = ParseTcpAddress("tcp://" + OwnAddress(*silent))->port;
  TcpStoreServerOptions options;
  options.where = {"127.0.0.1", first};
  options.num_ports = 8;
  options.secret = "another secret of many";
  options.job = "that-job";
  const auto other = TcpStoreServer::Start(options);
  ASSERT_TRUE(other.ok()) << other.status();
  options.secret = kSecret;
  options.job = "this-job";
  options.world_size = 2;
  const auto server = TcpStoreServer::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  auto client = Client({"127.0.0.1", first});
  client.num_ports = 8;
  client.timeout_seconds = 20;
  EXPECT_TRUE(Join(client)->Set("key", "").ok());
  EXPECT_TRUE((*server)->Find("key")->has_value());
  client.job = "no-job";
  client.timeout_seconds = 1;
  const Status none = TcpStore::Join(client).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kDeadlineExceeded) << none;
}

}  // namespace
}  // namespace trireme

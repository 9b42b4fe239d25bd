// A store over TCP against those who do not belong.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "tests/parallel/launch/tcp_stores.h"

namespace trireme {
namespace {

// True when the server has ended the connection; what it still had to say is thrown away.
bool IsClosed(const Socket& socket) {
  char block[4096];
  while (true) {
    const ssize_t got = recv(socket.file(), block, sizeof(block), 0);
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) return true;
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

// Its connection gives way to another's before it could say who it is.
TEST(TcpStoreTest, WhoIsSentAwayForANewcomerComesAgain) {
  Warnings warnings;
  TcpStoreServerOptions options;
  options.most_unproven = 1;
  options.claim_seconds = 30;
  const auto server = Serve(options);
  const HostAndPort where = WhereIs(*server);
  Wire wire(where);
  wire.mute = true;
  std::unique_ptr<TcpStore> member;
  std::thread joining([&] { member = Join(Client(wire.where(), 2)); });
  EXPECT_TRUE(Within(10, [&] { return wire.connected.load(); }));
  const Socket silent = Connect(where);
  EXPECT_TRUE(warnings.Tell("it is the oldest"));
  EXPECT_EQ(server->Missing(), (std::vector<int>{1, 2, 3}));
  wire.mute = false;
  joining.join();
  EXPECT_EQ(server->Missing(), (std::vector<int>{1, 3}));
  EXPECT_FALSE(server->fault().has_value());
  ASSERT_TRUE(member->Set("key", "value").ok());
  EXPECT_EQ(**server->Find("key"), "value");
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

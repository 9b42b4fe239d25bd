// A store over TCP against lost connections and processes.
#include "parallel/launch/tcp_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/parallel/launch/tcp_stores.h"

namespace trireme {
namespace {

TEST(TcpAddressTest, Parses) {
  EXPECT_EQ(ParseTcpAddress("tcp://node-1:2000")->host, "node-1");
  EXPECT_EQ(ParseTcpAddress("tcp://[fe80::1]:80")->host, "fe80::1");
  EXPECT_EQ(ParseTcpAddress("tcp://[fe80::1]:80")->port, 80);
  for (const char* wrong : {"", "tcp://", "tcp://host", "tcp://host:", "tcp://host:0", "tcp://host:65536", "tcp://:80",
                            "host:80", "tcp://host:8o"}) {
    EXPECT_EQ(ParseTcpAddress(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
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

}  // namespace
}  // namespace trireme

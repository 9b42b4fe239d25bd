// A job's store over TCP in tests: one that serves, those who join it, and a wire between them that fails as told.
#ifndef TRIREME_TESTS_PARALLEL_LAUNCH_TCP_STORES_H_
#define TRIREME_TESTS_PARALLEL_LAUNCH_TCP_STORES_H_

#include <glog/logging.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "parallel/launch/tcp_store.h"
#include "parallel/launch/tcp_store_server.h"
#include "tests/core/testing/waiting.h"

namespace trireme {

inline constexpr char kSecret[] = "a secret of sixteen or more";

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

inline std::unique_ptr<TcpStoreServer> Serve(TcpStoreServerOptions options = {}) {
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

inline HostAndPort WhereIs(const TcpStoreServer& server) { return *ParseTcpAddress("tcp://" + server.address()); }

inline TcpStoreOptions Client(const HostAndPort& where, int rank = 1) {
  TcpStoreOptions options;
  options.where = where;
  options.job = "this-job";
  options.secret = kSecret;
  options.rank = rank;
  options.timeout_seconds = 10;
  options.gone_seconds = 0.3;
  return options;
}

inline std::unique_ptr<TcpStore> Join(const TcpStoreOptions& options) {
  auto store = TcpStore::Join(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

inline Socket Connect(const HostAndPort& where) {
  bool refused = false;
  auto socket = ConnectTo(where, SocketClock::now() + std::chrono::seconds(10), &refused);
  EXPECT_TRUE(socket.ok()) << socket.status();
  return *std::move(socket);
}

// Between a client and its store; can be cut, and can hold everything back, or what the client says (`mute`).
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
  std::atomic<bool> cut{false}, stalled{false}, mute{false};
  std::atomic<bool> connected{false};  // to the store, for the first time

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
        if (client_.open()) {
          server_ = Connect(to_);
          connected = true;
        }
      }
      if (client_.open() && !((mute || Move(client_, server_)) && Move(server_, client_))) {
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

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_LAUNCH_TCP_STORES_H_

// The store of a job whose processes share no folder: rank 0's process keeps the values and serves them over TCP.
//
// One thread serves all connections. Who connects has a few seconds to prove that it belongs to the job (see
// store_messages.h), once for each rank; whoever does not is refused and logged, with its address and the reason.
// Nobody can hold the job up: what is unproven may send little, waits for nothing of ours, and gives way to newcomers
// when there are many. A rank may connect again, as the same process; another that claims its place is refused.
//
// A rank whose connection ends without a word and does not come back for `lost_seconds` has died: that is a fault of
// the job, unless there is one already.
#ifndef TRIREME_PARALLEL_LAUNCH_TCP_STORE_SERVER_H_
#define TRIREME_PARALLEL_LAUNCH_TCP_STORE_SERVER_H_

#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "parallel/launch/socket.h"
#include "parallel/launch/store.h"
#include "parallel/launch/store_messages.h"

namespace trireme {

struct TcpStoreServerOptions {
  HostAndPort where;  // of which the first free port of `num_ports` from `port` on is taken
  int num_ports = 1;
  std::string job;
  std::string secret;
  int world_size = 1;
  double claim_seconds = 5;  // to prove oneself
  double lost_seconds = 5;
  size_t most_unproven = 64;
};

// Rank 0 uses it as its store.
class TcpStoreServer : public MemoryStore {
 public:
  static StatusOr<std::unique_ptr<TcpStoreServer>> Start(const TcpStoreServerOptions& options);
  ~TcpStoreServer() override;

  // Of where it listens.
  std::string address() const { return OwnAddress(listening_); }
  std::string host() const { return OwnHost(listening_); }
  // Ranks that never came, besides 0.
  std::vector<int> Missing() const;

 private:
  struct Connection {
    Socket socket;
    std::string peer;  // its address
    std::string challenge;
    std::string received, unsent;
    SocketClock::time_point deadline;  // of an unproven one
    int rank = -1;                     // of a proven one
    bool closing = false;              // when all is sent
    bool closed = false;
  };
  struct Seat {
    std::string incarnation, peer;
    Connection* connection = nullptr;
    SocketClock::time_point lost_at;
    bool given_up = false;
  };

  TcpStoreServer(const TcpStoreServerOptions& options, Socket listening);
  void Serve();
  void Accept();
  // Makes room for another; false if there is nobody to send away.
  bool SendOldestStrangerAway();
  void Read(Connection* connection);
  void Write(Connection* connection);
  void Close(Connection* connection);
  // One whole message has come.
  void Handle(Connection* connection, const std::string& body);
  void HandleClaim(Connection* connection, const StoreMessage& message);
  void HandleRequest(Connection* connection, const StoreMessage& message);
  void Send(Connection* connection, const StoreMessage& message);
  void LogRefusal(const Connection& connection, const std::string& why);
  // For good: it does not belong to the job.
  void Refuse(Connection* connection, const std::string& why);
  // Without a word: whoever does belong to the job comes again.
  void Dismiss(Connection* connection, const std::string& why);
  void CheckDeadlines();

  const TcpStoreServerOptions options_;
  const Socket listening_;
  int wake_ = -1;
  // The thread's own.
  std::list<Connection> connections_;
  size_t num_unproven_ = 0;
  int64_t num_refused_ = 0;

  mutable std::mutex seats_mutex_;
  std::map<int, Seat> seats_;
  std::thread thread_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_TCP_STORE_SERVER_H_

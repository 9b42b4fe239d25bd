// The store of a job as a rank sees it whose process reaches rank 0's over TCP (see tcp_store_server.h).
//
// A lost connection is made anew, and what was asked is asked again: a link that drops for less than the deadline is
// not noticed. When nobody listens any longer where the store was, the job has ended; when it does not answer within
// the deadline, it has for this process: later calls say so at once.
#ifndef TRIREME_PARALLEL_LAUNCH_TCP_STORE_H_
#define TRIREME_PARALLEL_LAUNCH_TCP_STORE_H_

#include <memory>
#include <mutex>
#include <string>

#include "parallel/launch/socket.h"
#include "parallel/launch/store.h"
#include "parallel/launch/store_messages.h"

namespace trireme {

struct TcpStoreOptions {
  HostAndPort where;  // the store is at one of `num_ports` ports from `port` on
  int num_ports = 1;
  std::string job;
  std::string secret;
  int rank = 1;
  double timeout_seconds = 60;  // to find the store, and for each answer
  double gone_seconds = 2;      // that nobody listens where the store was
};

class TcpStore : public Store {
 public:
  // DeadlineExceeded if there is none of this job; PermissionDenied if it refuses this process.
  static StatusOr<std::unique_ptr<TcpStore>> Join(const TcpStoreOptions& options);

  Status Set(const std::string& key, const std::string& value) override;
  StatusOr<std::string> SetIfAbsent(const std::string& key, const std::string& value) override;
  StatusOr<std::optional<std::string>> Find(const std::string& key) const override;

  // This host's, on the way to the store.
  std::string own_host() const { return own_host_; }

 private:
  explicit TcpStore(const TcpStoreOptions& options);
  Status FindStore();
  // Connects and proves itself to the store at a port. `*final`: trying again would not help.
  Status Connect(const HostAndPort& where, SocketClock::time_point deadline, bool* final) const;
  StatusOr<StoreMessage> Exchange(const StoreMessage& request, SocketClock::time_point deadline) const;
  StatusOr<StoreMessage> Ask(const StoreMessage& request) const;

  const TcpStoreOptions options_;
  const std::string incarnation_;
  HostAndPort found_;
  std::string own_host_;
  mutable std::mutex mutex_;
  mutable Socket socket_;
  mutable bool refused_ = false;  // nobody listens there
  mutable Status ended_;          // the job has, or is out of reach
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_TCP_STORE_H_

// TCP sockets with deadlines, as the job's store needs them.
#ifndef TRIREME_PARALLEL_LAUNCH_SOCKET_H_
#define TRIREME_PARALLEL_LAUNCH_SOCKET_H_

#include <chrono>
#include <string>
#include <utility>

#include "core/base/status.h"

namespace trireme {

using SocketClock = std::chrono::steady_clock;

// Closes it in the end. Never blocks by itself.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int file) : file_(file) {}
  ~Socket() { Close(); }
  Socket(Socket&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }

  int file() const { return file_; }
  bool open() const { return file_ >= 0; }
  void Close();

 private:
  int file_ = -1;
};

struct HostAndPort {
  std::string host;
  int port = 0;
};

// Of "tcp://host:port"; an IPv6 address stands in brackets. InvalidArgument for what is not that.
StatusOr<HostAndPort> ParseTcpAddress(const std::string& address);

// NotFound if `host` is unknown, AlreadyExists if the port is taken, FailedPrecondition if the address is not of this
// machine.
StatusOr<Socket> ListenOn(const HostAndPort& where);

// Unavailable if nobody listens there, or no such host is known (yet); DeadlineExceeded if nothing answers. `*refused`:
// the host is there, but nobody listens.
StatusOr<Socket> ConnectTo(const HostAndPort& where, SocketClock::time_point deadline, bool* refused);

// Without waiting; a socket that is not open if there is none to accept. ResourceExhausted if there are no more files.
StatusOr<Socket> AcceptFrom(const Socket& listening);

// "10.0.0.7:1234", of this end or the other.
std::string OwnAddress(const Socket& socket);
std::string PeerAddress(const Socket& socket);
// Without its port.
std::string OwnHost(const Socket& socket);
// True for addresses that no other host reaches.
bool IsLoopback(const std::string& host);

// All of it, or DeadlineExceeded, or Unavailable if the other end is gone.
Status SendAll(const Socket& socket, const std::string& bytes, SocketClock::time_point deadline);
Status ReceiveAll(const Socket& socket, size_t size, SocketClock::time_point deadline, std::string* bytes);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_SOCKET_H_

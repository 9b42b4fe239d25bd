#include "parallel/launch/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace trireme {
namespace {

constexpr int kBacklog = 256;
// After so long without an acknowledgement the other host is gone. Longer than any link that is to be survived.
constexpr unsigned kUnacknowledgedMilliseconds = 60000;

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

std::string Describe(const HostAndPort& where) {
  return absl::StrContains(where.host, ":") ? absl::StrCat("[", where.host, "]:", where.port)
                                            : absl::StrCat(where.host, ":", where.port);
}

StatusOr<Addresses> Resolve(const HostAndPort& where, int flags) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  const int error = getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (error != 0)
    return absl::NotFoundError(absl::StrCat("the host ", where.host, " is unknown: ", gai_strerror(error)));
  return Addresses(found, &freeaddrinfo);
}

Status FailedTo(absl::string_view doing, const std::string& where, int error) {
  const std::string message = absl::StrCat(where, ": ", doing, ": ", strerror(error));
  if (error == EADDRINUSE) return absl::AlreadyExistsError(message);
  if (error == EADDRNOTAVAIL) return absl::FailedPreconditionError(message);
  if (error == EACCES) return absl::PermissionDeniedError(message);
  if (error == EMFILE || error == ENFILE) return absl::ResourceExhaustedError(message);
  if (error == ETIMEDOUT) return absl::DeadlineExceededError(message);
  return absl::UnavailableError(message);
}

// False if the deadline came first.
bool WaitFor(int file, short events, SocketClock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SocketClock::now()).count();
    pollfd entry = {file, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

void Prepare(int file) {
  const int on = 1;
  setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(file, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  const int idle_seconds = 10;
  setsockopt(file, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof(idle_seconds));
  setsockopt(file, IPPROTO_TCP, TCP_KEEPINTVL, &idle_seconds, sizeof(idle_seconds));
  setsockopt(file, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMilliseconds, sizeof(kUnacknowledgedMilliseconds));
}

HostAndPort Describe(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST] = {}, port[NI_MAXSERV] = {};
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host, sizeof(host), port, sizeof(port),
              NI_NUMERICHOST | NI_NUMERICSERV);
  HostAndPort where{host, 0};
  if (!absl::SimpleAtoi(port, &where.port)) where.port = 0;
  return where;
}

HostAndPort OwnEnd(const Socket& socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (getsockname(socket.file(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return {"?", 0};
  return Describe(address, size);
}

}  // namespace

void Socket::Close() {
  if (file_ >= 0) close(file_);
  file_ = -1;
}

StatusOr<HostAndPort> ParseTcpAddress(const std::string& address) {
  HostAndPort where;
  absl::string_view rest = address;
  const size_t colon = rest.rfind(':');
  if (absl::ConsumePrefix(&rest, "tcp://") && colon != std::string::npos && colon >= 6 &&
      absl::SimpleAtoi(address.substr(colon + 1), &where.port) && where.port > 0 && where.port < 65536) {
    absl::string_view host = rest.substr(0, colon - 6);
    if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) host = host.substr(1, host.size() - 2);
    where.host = std::string(host);
    if (!where.host.empty()) return where;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("TRIREME_RENDEZVOUS is \"", address, "\"; over TCP it has to be tcp://HOST:PORT"));
}

StatusOr<Socket> ListenOn(const HostAndPort& where) {
  TRIREME_ASSIGN_OR_RETURN(const Addresses addresses, Resolve(where, AI_PASSIVE));
  const std::string name = Describe(where);
  Status failed = absl::NotFoundError(absl::StrCat("the host ", where.host, " has no address"));
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (socket.open()) setsockopt(socket.file(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (socket.open() && bind(socket.file(), at->ai_addr, at->ai_addrlen) == 0 &&
        listen(socket.file(), kBacklog) == 0) {
      return socket;
    }
    failed = FailedTo("this process cannot listen there", name, errno);
  }
  return failed;
}

StatusOr<Socket> ConnectTo(const HostAndPort& where, SocketClock::time_point deadline, bool* refused) {
  *refused = false;
  auto addresses = Resolve(where, 0);
  if (!addresses.ok()) return absl::UnavailableError(addresses.status().message());
  const std::string name = Describe(where);
  Status failed = absl::UnavailableError(absl::StrCat("the host ", where.host, " has no address"));
  for (const addrinfo* at = addresses->get(); at != nullptr; at = at->ai_next) {
    Socket socket(::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.open()) {
      failed = FailedTo("no socket", name, errno);
      continue;
    }
    Prepare(socket.file());
    int error = connect(socket.file(), at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      socklen_t size = sizeof(error);
      if (!WaitFor(socket.file(), POLLOUT, deadline)) {
        error = ETIMEDOUT;
      } else if (getsockopt(socket.file(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
      }
    }
    if (error == 0) return socket;
    *refused = error == ECONNREFUSED;
    failed = FailedTo("cannot be reached", name, error);
  }
  return failed;
}

StatusOr<Socket> AcceptFrom(const Socket& listening) {
  Socket socket(accept4(listening.file(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.open()) {
    Prepare(socket.file());
  } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    return FailedTo("no more connections", OwnAddress(listening), EMFILE);
  }
  return socket;
}

std::string OwnAddress(const Socket& socket) { return Describe(OwnEnd(socket)); }

std::string OwnHost(const Socket& socket) { return OwnEnd(socket).host; }

std::string PeerAddress(const Socket& socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (getpeername(socket.file(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "somebody who has left";
  return Describe(Describe(address, size));
}

bool IsLoopback(const std::string& host) { return absl::StartsWith(host, "127.") || host == "::1"; }

Status SendAll(const Socket& socket, const std::string& bytes, SocketClock::time_point deadline) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t sent = send(socket.file(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      if (!WaitFor(socket.file(), POLLOUT, deadline)) return absl::DeadlineExceededError("it takes nothing");
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("the connection is lost: ", strerror(errno)));
    }
  }
  return absl::OkStatus();
}

Status ReceiveAll(const Socket& socket, size_t size, SocketClock::time_point deadline, std::string* bytes) {
  bytes->clear();
  char block[16384];
  while (bytes->size() < size) {
    const ssize_t got = recv(socket.file(), block, std::min(sizeof(block), size - bytes->size()), 0);
    if (got > 0) {
      bytes->append(block, static_cast<size_t>(got));
    } else if (got == 0) {
      return absl::UnavailableError("the connection was closed");
    } else if (errno == EAGAIN) {
      if (!WaitFor(socket.file(), POLLIN, deadline)) return absl::DeadlineExceededError("it says nothing");
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat("the connection is lost: ", strerror(errno)));
    }
  }
  return absl::OkStatus();
}

}  // namespace trireme

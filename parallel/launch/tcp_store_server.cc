#include "parallel/launch/tcp_store_server.h"

#include <errno.h>
#include <glog/logging.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "parallel/launch/file_store.h"
#include "parallel/launch/proof.h"

namespace trireme {
namespace {

// How late a deadline may be noticed.
constexpr int kPollMilliseconds = 100;
// Newcomers between two looks at those who are in.
constexpr int kAcceptedAtOnce = 32;
// After so many a line is worth less than the space it takes.
constexpr int64_t kLoggedOneByOne = 20;

SocketClock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<SocketClock::duration>(std::chrono::duration<double>(seconds));
}

// What a stranger has sent, fit to print.
std::string Printable(const std::string& text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, 64)), text.size() > 64 ? "..." : "", "\"");
}

}  // namespace

StatusOr<std::unique_ptr<TcpStoreServer>> TcpStoreServer::Start(const TcpStoreServerOptions& options) {
  HostAndPort where = options.where;
  StatusOr<Socket> listening = ListenOn(where);
  while (absl::IsAlreadyExists(listening.status()) && ++where.port < options.where.port + options.num_ports) {
    listening = ListenOn(where);
  }
  TRIREME_RETURN_IF_ERROR(listening.status());
  return std::unique_ptr<TcpStoreServer>(new TcpStoreServer(options, *std::move(listening)));
}

TcpStoreServer::TcpStoreServer(const TcpStoreServerOptions& options, Socket listening)
    : options_(options), listening_(std::move(listening)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  PCHECK(wake_ >= 0) << "no eventfd";
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "job store");
    Serve();
  });
}

TcpStoreServer::~TcpStoreServer() {
  const uint64_t one = 1;
  PCHECK(write(wake_, &one, sizeof(one)) == sizeof(one)) << "cannot wake the store's thread";
  thread_.join();
  close(wake_);
}

std::vector<int> TcpStoreServer::Missing() const {
  std::lock_guard<std::mutex> lock(seats_mutex_);
  std::vector<int> missing;
  for (int rank = 1; rank < options_.world_size; ++rank) {
    if (seats_.count(rank) == 0) missing.push_back(rank);
  }
  return missing;
}

void TcpStoreServer::Serve() {
  std::vector<pollfd> files;
  while (true) {
    files = {{wake_, POLLIN, 0}, {listening_.file(), POLLIN, 0}};
    for (const Connection& connection : connections_) {
      const short events = connection.unsent.empty() ? POLLIN : POLLOUT;
      files.push_back({connection.socket.file(), events, 0});
    }
    poll(files.data(), files.size(), kPollMilliseconds);
    if (files[0].revents != 0) return;
    size_t index = 2;
    for (Connection& connection : connections_) {
      if (files[index++].revents == 0) continue;
      if (connection.unsent.empty()) {
        Read(&connection);
      } else {
        Write(&connection);
      }
    }
    CheckDeadlines();
    if (files[1].revents != 0) Accept();
    connections_.remove_if([](const Connection& connection) { return connection.closed; });
  }
}

void TcpStoreServer::Accept() {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    StatusOr<Socket> accepted = AcceptFrom(listening_);
    if (!accepted.ok()) {
      if (SendOldestStrangerAway()) continue;
      // Nothing but waiting helps; not in a loop that takes the core.
      usleep(10000);
      return;
    }
    if (!accepted->open()) return;
    if (num_unproven_ >= options_.most_unproven) SendOldestStrangerAway();
    Connection& connection = connections_.emplace_back();
    connection.socket = *std::move(accepted);
    connection.peer = PeerAddress(connection.socket);
    connection.challenge = NewStoreChallenge();
    connection.deadline = SocketClock::now() + Seconds(options_.claim_seconds);
    ++num_unproven_;
    Send(&connection, HelloMessage(connection.challenge));
  }
}

bool TcpStoreServer::SendOldestStrangerAway() {
  for (Connection& connection : connections_) {
    if (connection.rank >= 0 || connection.closed) continue;
    Dismiss(&connection,
            absl::StrCat("more than ", options_.most_unproven, " connections are unproven, and it is the oldest"));
    return true;
  }
  return false;
}

void TcpStoreServer::Read(Connection* connection) {
  char block[16384];
  while (connection->socket.open()) {
    const ssize_t got = recv(connection->socket.file(), block, sizeof(block), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      if (connection->rank < 0 && !connection->closing) Refuse(connection, "it left before it had said who it is");
      Close(connection);
      return;
    }
    connection->received.append(block, static_cast<size_t>(got));
    if (connection->received.size() < kStoreMessageHead) continue;
    const size_t size = BodySize(connection->received.substr(0, kStoreMessageHead));
    if (size > (connection->rank < 0 ? kLargestClaim : kLargestStoreMessage)) {
      Refuse(connection, absl::StrCat("it sends what no process of a job does: ", Printable(connection->received)));
      return;
    }
    if (connection->received.size() < kStoreMessageHead + size) continue;
    const std::string body = connection->received.substr(kStoreMessageHead, size);
    connection->received.erase(0, kStoreMessageHead + size);
    Handle(connection, body);
    // The others have their turn first.
    return;
  }
}

void TcpStoreServer::Handle(Connection* connection, const std::string& body) {
  const auto message = DecodeStoreMessage(body);
  if (!message.has_value()) return Refuse(connection, "it sends what is no message: " + Printable(body));
  if (connection->rank < 0) return HandleClaim(connection, *message);
  HandleRequest(connection, *message);
}

void TcpStoreServer::HandleClaim(Connection* connection, const StoreMessage& message) {
  const auto claim = DecodeClaim(message);
  if (!claim.has_value()) return Refuse(connection, "it does not say who it is");
  if (!AreSame(claim->proof, ProofOf(options_.secret, /*of_server=*/false, *claim, connection->challenge))) {
    return Refuse(connection, claim->job == options_.job
                                  ? "it does not know the job's secret"
                                  : absl::StrCat("it says that it is of another job, ", Printable(claim->job)));
  }
  if (claim->job != options_.job) return Refuse(connection, "it is of another job, " + Printable(claim->job));
  if (claim->rank < 1 || claim->rank >= options_.world_size) {
    return Refuse(connection, absl::StrCat("it says that it is rank ", claim->rank, ", of ", options_.world_size));
  }
  Connection* before = nullptr;
  {
    std::lock_guard<std::mutex> lock(seats_mutex_);
    Seat& seat = seats_[claim->rank];
    if (!seat.incarnation.empty() && seat.incarnation != claim->incarnation) {
      const std::string why =
          absl::StrCat("rank ", claim->rank, " has come already, from ", seat.peer, ", as another process");
      return Refuse(connection, why);
    }
    before = seat.connection;
    seat = Seat{claim->incarnation, connection->peer, connection, {}, false};
  }
  if (before != nullptr) {
    before->closed = true;
    before->socket.Close();
  }
  connection->rank = claim->rank;
  --num_unproven_;
  Send(connection, {"welcome", ProofOf(options_.secret, /*of_server=*/true, *claim, connection->challenge)});
}

void TcpStoreServer::HandleRequest(Connection* connection, const StoreMessage& message) {
  const std::string what = message.empty() ? "" : message[0];
  if (what == "set" && message.size() == 3) {
    Set(message[1], message[2]).IgnoreError();
    return Send(connection, {"done"});
  }
  if (what == "set if absent" && message.size() == 3) {
    return Send(connection, {"value", *SetIfAbsent(message[1], message[2])});
  }
  if (what == "find" && message.size() == 2) {
    const auto value = *Find(message[1]);
    return Send(connection, value.has_value() ? StoreMessage{"value", *value} : StoreMessage{"absent"});
  }
  Refuse(connection, "it asks what is no question: " + Printable(what));
}

void TcpStoreServer::Send(Connection* connection, const StoreMessage& message) {
  connection->unsent += EncodeStoreMessage(message);
  Write(connection);
}

void TcpStoreServer::Write(Connection* connection) {
  while (connection->socket.open() && !connection->unsent.empty()) {
    const ssize_t sent =
        send(connection->socket.file(), connection->unsent.data(), connection->unsent.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return Close(connection);
    connection->unsent.erase(0, static_cast<size_t>(sent));
  }
  if (connection->closing) Close(connection);
}

void TcpStoreServer::LogRefusal(const Connection& connection, const std::string& why) {
  ++num_refused_;
  const bool logged = num_refused_ <= kLoggedOneByOne || (num_refused_ & (num_refused_ - 1)) == 0;
  if (logged) {
    LOG(WARNING) << "the job's store refused " << connection.peer << ": " << why
                 << (num_refused_ > kLoggedOneByOne ? absl::StrCat(" (", num_refused_, " refused in all)") : "");
  }
}

void TcpStoreServer::Dismiss(Connection* connection, const std::string& why) {
  LogRefusal(*connection, why);
  Close(connection);
}

void TcpStoreServer::Refuse(Connection* connection, const std::string& why) {
  LogRefusal(*connection, why);
  connection->closing = true;
  connection->deadline = SocketClock::now() + Seconds(options_.claim_seconds);
  Send(connection, {"refused", why});
}

void TcpStoreServer::Close(Connection* connection) {
  if (connection->closed) return;
  connection->closed = true;
  if (connection->rank < 0) {
    --num_unproven_;
  } else {
    std::lock_guard<std::mutex> lock(seats_mutex_);
    Seat& seat = seats_[connection->rank];
    seat.connection = nullptr;
    seat.lost_at = SocketClock::now();
  }
  connection->socket.Close();
}

void TcpStoreServer::CheckDeadlines() {
  const auto now = SocketClock::now();
  for (Connection& connection : connections_) {
    if (connection.closed || (connection.rank >= 0 && !connection.closing) || now < connection.deadline) continue;
    if (connection.closing) {
      Close(&connection);
    } else {
      Dismiss(&connection, absl::StrCat("it did not say who it is for ", options_.claim_seconds, " s"));
    }
  }
  std::vector<std::pair<int, std::string>> lost;
  {
    std::lock_guard<std::mutex> lock(seats_mutex_);
    for (auto& [rank, seat] : seats_) {
      if (seat.connection != nullptr || seat.given_up || now - seat.lost_at < Seconds(options_.lost_seconds)) continue;
      seat.given_up = true;
      lost.emplace_back(rank, seat.peer);
    }
  }
  for (const auto& [rank, peer] : lost) {
    if (Find(EndedKey(rank))->has_value()) continue;
    ReportFault(rank, absl::AbortedError(absl::StrCat("its process on ", peer,
                                                      " is gone: it left the job's store and did not come back for ",
                                                      options_.lost_seconds, " s")));
  }
}

}  // namespace trireme

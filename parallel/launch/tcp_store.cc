#include "parallel/launch/tcp_store.h"

#include <algorithm>
#include <thread>

#include "parallel/launch/file_store.h"
#include "parallel/launch/proof.h"

namespace trireme {
namespace {

constexpr double kConnectSeconds = 3, kClaimSeconds = 5;
constexpr auto kShortestPause = std::chrono::milliseconds(20), kLongestPause = std::chrono::milliseconds(500);

SocketClock::time_point After(double seconds) {
  return SocketClock::now() + std::chrono::duration_cast<SocketClock::duration>(std::chrono::duration<double>(seconds));
}

StatusOr<StoreMessage> ReceiveMessage(const Socket& socket, SocketClock::time_point deadline) {
  std::string head, body;
  TRIREME_RETURN_IF_ERROR(ReceiveAll(socket, kStoreMessageHead, deadline, &head));
  const size_t size = BodySize(head);
  if (size > kLargestStoreMessage) return absl::UnavailableError("it is not a store of Trireme");
  TRIREME_RETURN_IF_ERROR(ReceiveAll(socket, size, deadline, &body));
  auto message = DecodeStoreMessage(body);
  if (!message.has_value() || message->empty()) return absl::UnavailableError("it is not a store of Trireme");
  return *std::move(message);
}

std::string Describe(const HostAndPort& where, int num_ports) {
  return absl::StrCat(where.host, ":", where.port,
                      num_ports > 1 ? absl::StrCat(" to ", where.port + num_ports - 1) : "");
}

}  // namespace

TcpStore::TcpStore(const TcpStoreOptions& options) : options_(options), incarnation_(RandomName()) {}

StatusOr<std::unique_ptr<TcpStore>> TcpStore::Join(const TcpStoreOptions& options) {
  auto store = std::unique_ptr<TcpStore>(new TcpStore(options));
  TRIREME_RETURN_IF_ERROR(store->FindStore());
  return store;
}

Status TcpStore::FindStore() {
  const auto deadline = After(options_.timeout_seconds);
  Status last;
  auto pause = kShortestPause;
  do {
    for (int i = 0; i < options_.num_ports; ++i) {
      const HostAndPort where{options_.where.host, options_.where.port + i};
      bool final = false;
      const Status connected = Connect(where, deadline, &final);
      if (connected.ok()) {
        found_ = where;
        own_host_ = OwnHost(socket_);
        return connected;
      }
      if (final && options_.num_ports == 1) return connected;
      // That a port is not in use says less than what came of one that is.
      if (last.ok() || !refused_) last = connected;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  } while (SocketClock::now() < deadline);
  return absl::DeadlineExceededError(
      absl::StrCat("rank ", options_.rank, " waited ", options_.timeout_seconds, " s for rank 0's store at ",
                   Describe(options_.where, options_.num_ports),
                   "; find out whether rank 0 runs and can be reached (last: ", last.message(), ")"));
}

Status TcpStore::Connect(const HostAndPort& where, SocketClock::time_point deadline, bool* final) const {
  auto socket = ConnectTo(where, std::min(deadline, After(kConnectSeconds)), &refused_);
  TRIREME_RETURN_IF_ERROR(socket.status());
  const std::string name = Describe(where, 1);
  const auto claim_deadline = std::min(deadline, After(kClaimSeconds));
  TRIREME_ASSIGN_OR_RETURN(const StoreMessage hello, Annotate(ReceiveMessage(*socket, claim_deadline), name));
  const auto challenge = ChallengeOfHello(hello);
  if (!challenge.has_value()) return absl::UnavailableError(name + ": it is not a store of Trireme");
  StoreClaim claim;
  claim.job = options_.job;
  claim.rank = options_.rank;
  claim.incarnation = incarnation_;
  claim.challenge = NewStoreChallenge();
  claim.proof = ProofOf(options_.secret, /*of_server=*/false, claim, *challenge);
  TRIREME_RETURN_IF_ERROR(Annotate(SendAll(*socket, EncodeStoreMessage(ClaimMessage(claim)), claim_deadline), name));
  TRIREME_ASSIGN_OR_RETURN(const StoreMessage answer, Annotate(ReceiveMessage(*socket, claim_deadline), name));
  if (answer.size() == 2 && answer[0] == "refused") {
    *final = true;
    return absl::PermissionDeniedError(
        absl::StrCat("the job's store at ", name, " refused rank ", options_.rank, " of job ", options_.job, ": ",
                     answer[1], "; all processes of a job need the same TRIREME_JOB_SECRET, and each job its own"));
  }
  if (answer.size() != 2 || answer[0] != "welcome" ||
      !AreSame(answer[1], ProofOf(options_.secret, /*of_server=*/true, claim, *challenge))) {
    *final = true;
    return absl::PermissionDeniedError(name + ": whoever listens there does not know the job's secret");
  }
  socket_ = *std::move(socket);
  return absl::OkStatus();
}

StatusOr<StoreMessage> TcpStore::Exchange(const StoreMessage& request, SocketClock::time_point deadline) const {
  if (!socket_.open()) {
    bool final = false;
    TRIREME_RETURN_IF_ERROR(Connect(found_, deadline, &final));
  }
  TRIREME_RETURN_IF_ERROR(SendAll(socket_, EncodeStoreMessage(request), deadline));
  return ReceiveMessage(socket_, deadline);
}

StatusOr<StoreMessage> TcpStore::Ask(const StoreMessage& request) const {
  std::lock_guard<std::mutex> lock(mutex_);
  TRIREME_RETURN_IF_ERROR(ended_);
  const auto deadline = After(options_.timeout_seconds);
  auto gone_at = SocketClock::time_point::max();
  auto pause = kShortestPause;
  while (true) {
    refused_ = false;
    StatusOr<StoreMessage> answer = Exchange(request, deadline);
    if (answer.ok()) return answer;
    socket_.Close();
    const auto now = SocketClock::now();
    gone_at = refused_ ? std::min(gone_at, After(options_.gone_seconds)) : SocketClock::time_point::max();
    if (now >= gone_at || absl::IsPermissionDenied(answer.status())) {
      ended_ = absl::UnavailableError(
          absl::StrCat("the job's store at ", Describe(found_, 1), " is gone: rank 0's process has ended"));
      return ended_;
    }
    if (now >= deadline) {
      ended_ =
          absl::DeadlineExceededError(absl::StrCat("rank 0's store at ", Describe(found_, 1), " has not answered for ",
                                                   options_.timeout_seconds, " s (", answer.status().message(), ")"));
      return ended_;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

Status TcpStore::Set(const std::string& key, const std::string& value) { return Ask({"set", key, value}).status(); }

StatusOr<std::string> TcpStore::SetIfAbsent(const std::string& key, const std::string& value) {
  TRIREME_ASSIGN_OR_RETURN(const StoreMessage answer, Ask({"set if absent", key, value}));
  if (answer.size() == 2 && answer[0] == "value") return answer[1];
  return absl::InternalError("the job's store answers what was not asked");
}

StatusOr<std::optional<std::string>> TcpStore::Find(const std::string& key) const {
  TRIREME_ASSIGN_OR_RETURN(const StoreMessage answer, Ask({"find", key}));
  if (answer[0] == "absent") return std::optional<std::string>();
  if (answer.size() == 2 && answer[0] == "value") return std::make_optional(answer[1]);
  return absl::InternalError("the job's store answers what was not asked");
}

}  // namespace trireme

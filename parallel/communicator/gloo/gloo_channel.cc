#include "parallel/communicator/gloo/gloo_channel.h"

#include <glog/logging.h>
#include <gloo/transport/pair.h>
#include <gloo/transport/unbound_buffer.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "parallel/communicator/gloo/gloo_challenge.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// A peer that is connected answers at once; a stranger may never do.
constexpr double kChallengeSeconds = 5;
constexpr uint32_t kChallengeTag = 1, kAnswerTag = 2;

milliseconds Milliseconds(double seconds) {
  return milliseconds(std::max<int64_t>(1, static_cast<int64_t>(seconds * 1000)));
}

std::string WhereToFind(const std::vector<std::vector<char>>& addresses) {
  std::vector<std::string> texts;
  for (const std::vector<char>& address : addresses) {
    texts.push_back(absl::BytesToHexString(absl::string_view(address.data(), address.size())));
  }
  return absl::StrJoin(texts, " ");
}

StatusOr<std::vector<char>> AddressFor(const std::string& text, int place, int size) {
  const std::vector<std::string> parts = absl::StrSplit(text, ' ');
  if (static_cast<int>(parts.size()) != size)
    return absl::InternalError(absl::StrCat("these are no addresses: ", text));
  const std::string bytes = absl::HexStringToBytes(parts[static_cast<size_t>(place)]);
  return std::vector<char>(bytes.begin(), bytes.end());
}

}  // namespace

GlooChannel::GlooChannel(std::string name, std::vector<int> members, int rank)
    : name_(std::move(name)), members_(std::move(members)) {
  const auto found = std::find(members_.begin(), members_.end(), rank);
  CHECK(found != members_.end()) << "rank " << rank << " is no member of " << name_;
  place_ = static_cast<int>(found - members_.begin());
  tally.sent.resize(members_.size());
  tally.received.resize(members_.size());
}

Status GlooChannel::Connect(const std::shared_ptr<gloo::transport::Device>& device, Store* store,
                            const std::string& secret, int attempt, double timeout_seconds) {
  const std::string prefix = absl::StrCat("gloo.", name_, ".", attempt, ".");
  const auto key = [&](const char* what, int place) { return absl::StrCat(prefix, what, ".", place); };
  const auto from_all = [&](const char* what, const char* waiting_for,
                            const std::string& mine) -> StatusOr<std::vector<std::string>> {
    TRIREME_RETURN_IF_ERROR(store->Set(key(what, place_), mine));
    std::vector<std::string> values;
    for (int p = 0; p < size(); ++p) {
      TRIREME_ASSIGN_OR_RETURN(
          std::string value, store->Wait(key(what, p), absl::StrCat("rank ", member(p), waiting_for), timeout_seconds));
      values.push_back(std::move(value));
    }
    return values;
  };
  // Nobody listens before all are there.
  TRIREME_RETURN_IF_ERROR(from_all("here", " to connect by Gloo", "").status());

  auto context = std::make_shared<GlooContext>(device, place_, size(), Milliseconds(2 * timeout_seconds));
  std::vector<std::vector<char>> mine(static_cast<size_t>(size()));
  for (int p = 0; p < size(); ++p) {
    if (p != place_) mine[static_cast<size_t>(p)] = context->NewPair(p).address().bytes();
  }
  context_ = context;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    breakable_ = context;
  }
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> addresses,
                           from_all("address", " to listen", WhereToFind(mine)));
  std::string verdict;
  // All pairs, whatever becomes of the first ones: their other ends wait for it.
  for (int p = 0; p < size(); ++p) {
    if (p == place_) continue;
    TRIREME_ASSIGN_OR_RETURN(const std::vector<char> address,
                             AddressFor(addresses[static_cast<size_t>(p)], place_, size()));
    try {
      context->getPair(p)->connect(address);
    } catch (const std::exception& error) {
      if (verdict.empty()) verdict = absl::StrCat("the connection to rank ", member(p), " failed: ", error.what());
    }
  }
  // The graver first: a peer that finds its place taken sees a connection refused.
  char gravity = verdict.empty() ? '0' : '1';
  if (verdict.empty()) {
    const Status known = Challenge(secret, prefix, std::min(kChallengeSeconds, timeout_seconds / 4));
    if (!known.ok()) gravity = absl::IsPermissionDenied(known) ? '3' : '2';
    verdict = std::string(known.message());
  }
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> verdicts,
                           from_all("verdict", " to connect", gravity + verdict));
  int worst = 0;
  for (int p = 1; p < size(); ++p) {
    if (verdicts[static_cast<size_t>(p)][0] > verdicts[static_cast<size_t>(worst)][0]) worst = p;
  }
  const std::string& decides = verdicts[static_cast<size_t>(worst)];
  if (decides[0] == '0') return absl::OkStatus();
  const std::string message = absl::StrCat("rank ", member(worst), ": ", decides.substr(1));
  return decides[0] == '3' ? absl::PermissionDeniedError(message) : absl::UnavailableError(message);
}

Status GlooChannel::Challenge(const std::string& secret, const std::string& prefix, double seconds) {
  struct Side {
    ProofBytes mine, theirs, my_answer, their_answer;
    std::unique_ptr<gloo::transport::UnboundBuffer> buffers[4];
  };
  std::vector<Side> sides(static_cast<size_t>(size()));
  const auto deadline = std::chrono::steady_clock::now() + Milliseconds(seconds);
  const auto left = [&] {
    return std::max(milliseconds(1),
                    std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now()));
  };
  const auto with_peers = [&](const std::function<void(Side&, int)>& work) {
    for (int p = 0; p < size(); ++p) {
      if (p != place_) work(sides[static_cast<size_t>(p)], p);
    }
  };
  int peer = -1;
  try {
    const auto exchange = [&](int first, uint32_t tag) {
      with_peers([&](Side& side, int p) {
        peer = p;
        side.buffers[first + 1]->recv(p, CallSlot(tag));
        side.buffers[first]->send(p, CallSlot(tag));
      });
      with_peers([&](Side& side, int p) {
        peer = p;
        side.buffers[first + 1]->waitRecv(left());
        side.buffers[first]->waitSend(left());
      });
    };
    with_peers([&](Side& side, int) {
      side.mine = NewChallenge();
      ProofBytes* const parts[4] = {&side.mine, &side.theirs, &side.my_answer, &side.their_answer};
      for (int i = 0; i < 4; ++i) side.buffers[i] = context_->createUnboundBuffer(parts[i]->data(), parts[i]->size());
    });
    exchange(0, kChallengeTag);
    with_peers(
        [&](Side& side, int p) { side.my_answer = AnswerTo(side.theirs, secret, prefix, member(place_), member(p)); });
    exchange(2, kAnswerTag);
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("whoever is connected as rank ", member(peer), " did not answer: ", error.what()));
  }
  for (int p = 0; p < size(); ++p) {
    if (p == place_) continue;
    const Side& side = sides[static_cast<size_t>(p)];
    const ProofBytes answer = AnswerTo(side.mine, secret, prefix, member(p), member(place_));
    if (AreSame(ViewOf(side.their_answer), ViewOf(answer))) continue;
    return absl::PermissionDeniedError(absl::StrCat("whoever is connected as rank ", member(p),
                                                    " does not know this job's secret: it is a stranger, or another "
                                                    "job's worker"));
  }
  return absl::OkStatus();
}

void GlooChannel::Break() {
  std::shared_ptr<GlooContext> context;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (broken_ || breakable_ == nullptr) return;
    broken_ = true;
    context = breakable_;
  }
  context->Break();
}

GlooChannel::Doing GlooChannel::doing() const {
  std::lock_guard<std::mutex> lock(mutex_);
  Doing doing;
  if (!busy_) return doing;
  doing.call = call_;
  doing.serial = num_begun_;
  doing.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count();
  return doing;
}

void GlooChannel::Begin(const GlooCall& call) {
  std::lock_guard<std::mutex> lock(mutex_);
  call_ = call;
  busy_ = true;
  ++num_begun_;
  since_ = std::chrono::steady_clock::now();
}

void GlooChannel::End() {
  std::lock_guard<std::mutex> lock(mutex_);
  busy_ = false;
}

}  // namespace trireme

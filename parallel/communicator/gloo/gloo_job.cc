#include "parallel/communicator/gloo/gloo_job.h"

#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/base/clock.h"
#include "parallel/communicator/calls/calls.h"
#include "parallel/communicator/gloo/gloo_device.h"
#include "parallel/launch/file_store.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// A call that takes so long is worth asking the store about.
constexpr double kSuspiciousSeconds = 1;
// Strangers that come first to an address spoil an attempt.
constexpr int kConnectAttempts = 3;

std::string CallKey(const GlooChannel& channel, int place) {
  return absl::StrCat("gloo.", channel.name(), ".call.", place);
}

// What a rank that has left had done before.
std::string DoneKey(const GlooChannel& channel, int place) {
  return absl::StrCat("gloo.", channel.name(), ".done.", place);
}

std::string LeftKey(int rank) { return absl::StrCat("gloo.left.", rank); }

// OK unless `theirs`, of the peer at that place, cannot meet with `mine`.
Status CompareCalls(const GlooChannel& channel, const GlooCall& mine, int peer, const GlooCall& theirs) {
  const int me = channel.place();
  const auto other_size = [&](int from, int to, int64_t sent, int64_t expected, const std::string& in) {
    return absl::InternalError(absl::StrCat("rank ", channel.member(from), " sent ", sent, " bytes to rank ",
                                            channel.member(to), ", which waited for ", expected, " in ", in));
  };
  if (mine.among_all() && theirs.among_all()) {
    if (mine.number != theirs.number || mine.description == theirs.description) return absl::OkStatus();
    return DifferentCalls(channel.member(me), mine.description, channel.member(peer), theirs.description);
  }
  if (mine.among_all() || theirs.among_all()) return absl::OkStatus();
  if (mine.to == peer && theirs.from == me && mine.send_number == theirs.receive_number &&
      mine.send_bytes != theirs.receive_bytes) {
    return other_size(me, peer, mine.send_bytes, theirs.receive_bytes, theirs.description);
  }
  if (mine.from == peer && theirs.to == me && mine.receive_number == theirs.send_number &&
      mine.receive_bytes != theirs.send_bytes) {
    return other_size(peer, me, theirs.send_bytes, mine.receive_bytes, mine.description);
  }
  return absl::OkStatus();
}

}  // namespace

GlooJob::GlooJob(std::shared_ptr<Store> store, const GlooJobOptions& options)
    : store_(std::move(store)), options_(options), watch_(store_, options.rank, options.size) {}

StatusOr<std::shared_ptr<GlooJob>> GlooJob::Start(std::shared_ptr<Store> store, const GlooJobOptions& options) {
  std::shared_ptr<GlooJob> job(new GlooJob(std::move(store), options));
  if (options.size == 1) return job;
  TRIREME_ASSIGN_OR_RETURN(job->device_, OpenGlooDevice(options.listen_on));
  job->watch_.Start("gloo watch", options.watch_seconds, [raw = job.get()](const Status& fault) { raw->Watch(fault); });
  return job;
}

GlooJob::~GlooJob() {
  if (connected_ && fault().ok()) Farewell();
}

Status GlooJob::Fail(const Status& fault) {
  const Status first = watch_.Fail(fault);
  BreakAll();
  return first;
}

std::vector<GlooChannel*> GlooJob::Channels() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<GlooChannel*> channels;
  for (GlooChannel& channel : channels_) channels.push_back(&channel);
  return channels;
}

void GlooJob::BreakAll() {
  for (GlooChannel* channel : Channels()) channel->Break();
}

StatusOr<GlooChannel*> GlooJob::NewChannel(const std::string& name, const std::vector<int>& members) {
  TRIREME_RETURN_IF_ERROR(fault());
  GlooChannel* channel = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    channel = &channels_.emplace_back(name, members, options_.rank);
  }
  if (channel->size() == 1) return channel;
  connected_ = true;
  const Status connected = ConnectChannel(channel);
  if (!connected.ok()) return Fail(connected);
  return channel;
}

Status GlooJob::ConnectChannel(GlooChannel* channel) {
  if (channel->place() == 0) {
    TRIREME_RETURN_IF_ERROR(
        store_->SetIfAbsent(absl::StrCat("gloo.", channel->name(), ".secret"), RandomName() + RandomName()).status());
  }
  TRIREME_ASSIGN_OR_RETURN(
      const std::string secret,
      store_->Wait(absl::StrCat("gloo.", channel->name(), ".secret"),
                   absl::StrCat("rank ", channel->member(0), " to connect by Gloo"), options_.timeout_seconds));
  Status outcome;
  for (int attempt = 1; attempt <= kConnectAttempts; ++attempt) {
    GlooCall call;
    call.description = "connecting by Gloo";
    call.number = 0;
    channel->Begin(call);
    try {
      outcome = channel->Connect(device_, store_.get(), secret, attempt, options_.timeout_seconds);
    } catch (const std::exception& error) {
      outcome = absl::UnavailableError(absl::StrCat("connecting by Gloo: ", error.what()));
    }
    channel->End();
    // A fault meanwhile may have broken the channel, or be about to find it connected.
    if (const Status known = fault(); !known.ok()) {
      channel->Break();
      return known;
    }
    if (!absl::IsPermissionDenied(outcome) && !absl::IsUnavailable(outcome)) return outcome;
    if (attempt < kConnectAttempts && channel->place() == 0) {
      LOG(WARNING) << "refused a connection: " << outcome.message() << "; connecting again";
    }
  }
  return outcome;
}

Status GlooJob::Call(GlooChannel* channel, const GlooCall& call, const std::function<void()>& body) {
  TRIREME_RETURN_IF_ERROR(fault());
  channel->Begin(call);
  std::string words;
  bool failed = false;
  try {
    body();
  } catch (const std::exception& error) {
    failed = true;
    words = error.what();
  }
  channel->End();
  if (!failed) return absl::OkStatus();
  TRIREME_RETURN_IF_ERROR(fault());
  return Fail(FindReason(*channel, call, words));
}

void GlooJob::Watch(const Status& fault) {
  if (!fault.ok()) BreakAll();
  for (GlooChannel* channel : Channels()) {
    if (this->fault().ok()) WatchChannel(channel);
  }
}

void GlooJob::WatchChannel(GlooChannel* channel) {
  const GlooChannel::Doing doing = channel->doing();
  if (channel->told != 0 && channel->told != doing.serial) {
    channel->told = 0;
    store_->Set(CallKey(*channel, channel->place()), "").IgnoreError();
  }
  if (doing.serial == 0 || doing.seconds < std::min(kSuspiciousSeconds, options_.timeout_seconds / 4)) return;
  const Status stuck = WhyStuck(channel, doing);
  // The call may have come to its end meanwhile.
  if (stuck.ok() || channel->doing().serial != doing.serial) return;
  Fail(stuck).IgnoreError();
}

Status GlooJob::WhyStuck(GlooChannel* channel, const GlooChannel::Doing& doing) {
  const GlooCall& mine = doing.call;
  if (channel->told != doing.serial) {
    TRIREME_RETURN_IF_ERROR(store_->Set(CallKey(*channel, channel->place()), Encode(mine)));
    channel->told = doing.serial;
  }
  std::vector<int> late;
  for (int place = 0; place < channel->size(); ++place) {
    if (place == channel->place()) continue;
    const int peer = channel->member(place);
    TRIREME_ASSIGN_OR_RETURN(const auto text, store_->Find(CallKey(*channel, place)));
    const std::optional<GlooCall> theirs = DecodeCall(text.value_or(""));
    if (theirs.has_value()) {
      TRIREME_RETURN_IF_ERROR(CompareCalls(*channel, mine, place, *theirs));
      // It waits as we do, or has gone on.
      if (theirs->among_all() && (!mine.among_all() || theirs->number >= mine.number)) continue;
      if (!theirs->among_all() && !mine.among_all()) continue;
    }
    if (!mine.waits_for(place)) continue;
    if (HasLeft(peer)) {
      if (HasDoneItsPart(*channel, place, mine)) continue;
      return HasEnded("", {peer}, mine.description);
    }
    late.push_back(peer);
  }
  if (doing.seconds < options_.timeout_seconds) return absl::OkStatus();
  return TooLate("", options_.timeout_seconds, late, mine.description, "communicator/gloo");
}

bool GlooJob::HasLeft(int rank) const {
  for (const std::string& key : {LeftKey(rank), EndedKey(rank)}) {
    const auto found = store_->Find(key);
    if (found.ok() && found->has_value()) return true;
  }
  return false;
}

bool GlooJob::HasDoneItsPart(const GlooChannel& channel, int place, const GlooCall& mine) const {
  const auto text = store_->Find(DoneKey(channel, place));
  if (!text.ok() || !text->has_value()) return false;
  const std::optional<GlooTally> tally = DecodeTally(**text);
  if (!tally.has_value()) return false;
  if (mine.among_all()) return tally->calls >= mine.number;
  const size_t me = static_cast<size_t>(channel.place());
  if (me >= tally->sent.size()) return false;
  return (mine.from != place || tally->sent[me] >= mine.receive_number) &&
         (mine.to != place || tally->received[me] >= mine.send_number);
}

Status GlooJob::FindReason(const GlooChannel& channel, const GlooCall& call, const std::string& words_of_gloo) const {
  const double start = Now();
  do {
    if (store_->fault().has_value()) break;  // the first fault counts anyway
    for (int place = 0; place < channel.size(); ++place) {
      if (place == channel.place() || !call.waits_for(place) || !HasLeft(channel.member(place))) continue;
      // One that fails leaves first and says why a moment later.
      std::this_thread::sleep_for(milliseconds(50));
      return HasEnded("", {channel.member(place)}, call.description);
    }
    std::this_thread::sleep_for(milliseconds(10));
  } while (Now() - start < options_.reason_seconds);
  std::vector<int> peers;
  for (int place = 0; place < channel.size(); ++place) {
    if (place != channel.place() && call.waits_for(place)) peers.push_back(channel.member(place));
  }
  return absl::UnavailableError(absl::StrCat("lost a connection in ", call.description, ", to ", RankNames(peers), " (",
                                             words_of_gloo, "); that process or its host may have died"));
}

void GlooJob::Farewell() {
  // They may still be moving what this rank has done with.
  for (GlooChannel* channel : Channels()) {
    if (!store_->Set(DoneKey(*channel, channel->place()), Encode(channel->tally)).ok()) return;
  }
  if (!store_->Set(LeftKey(options_.rank), "").ok()) return;
  const double start = Now();
  milliseconds pause(1);
  for (int rank = 0; rank < options_.size;) {
    if (rank == options_.rank || HasLeft(rank)) {
      ++rank;
      continue;
    }
    if (!fault().ok() || store_->fault().has_value() || Now() - start > options_.timeout_seconds) return;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, milliseconds(20));
  }
}

}  // namespace trireme

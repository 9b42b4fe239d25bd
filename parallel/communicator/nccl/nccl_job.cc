#include "parallel/communicator/nccl/nccl_job.h"

#include <glog/logging.h>

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "core/base/clock.h"
#include "parallel/communicator/calls/calls.h"

namespace trireme {
namespace {

// A channel that has been in one operation for so long is worth asking the store about.
constexpr double kSuspiciousSeconds = 1;

std::string StateKey(int channel, int rank) { return absl::StrCat("state.", channel, ".", rank); }

// Calls between two ranks differ by nature.
bool IsCollective(const std::string& description) {
  return !absl::StartsWith(description, "Send") && !absl::StartsWith(description, "Receive");
}

// "SendReceive of 4 bytes of float32 to rank 1 and 4 bytes from rank 2" waits for these two.
bool WaitsFor(const std::string& description, int peer) {
  return IsCollective(description) || absl::StrContains(description + " ", absl::StrCat("rank ", peer, " "));
}

NcclLibrary::Channel TakeAway(NcclChannel* channel) {
  std::lock_guard<std::mutex> lock(channel->mutex);
  return std::exchange(channel->channel, nullptr);
}

}  // namespace

int64_t NcclChannel::NumberOf(const std::string& description) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto [found, added] = numbers.emplace(description, descriptions.size() + 1);
  if (added) descriptions.push_back(description);
  return found->second;
}

std::string NcclChannel::Describe(const NcclProgress& seen) {
  std::lock_guard<std::mutex> lock(mutex);
  const bool known = seen.current >= 1 && seen.current <= static_cast<int64_t>(descriptions.size());
  return known ? descriptions[seen.current - 1] : "an operation";
}

NcclJob::NcclJob(NcclLibrary& library, std::shared_ptr<Store> store, const NcclJobOptions& options)
    : library_(library), store_(std::move(store)), options_(options), watch_(store_, options.rank, options.size) {
  watch_.Start("nccl watch", options.watch_seconds, [this](const Status& fault) { Watch(fault); });
}

NcclJob::~NcclJob() {
  watch_.Stop();
  AbortAll();
}

std::vector<NcclChannel*> NcclJob::Channels() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<NcclChannel*> channels;
  for (NcclChannel& channel : channels_) channels.push_back(&channel);
  return channels;
}

void NcclJob::AbortAll() {
  for (NcclChannel* channel : Channels()) {
    if (const NcclLibrary::Channel taken = TakeAway(channel)) library_.Abort(taken);
  }
}

int64_t NcclJob::bytes_sent() const {
  std::lock_guard<std::mutex> lock(mutex_);
  int64_t bytes = 0;
  for (const NcclChannel& channel : channels_) {
    if (channel.progress != nullptr) bytes += Look(channel.progress).bytes_sent;
  }
  return bytes;
}

NcclChannel* NcclJob::AddChannel(const std::vector<int>& members) {
  std::lock_guard<std::mutex> lock(mutex_);
  channels_.emplace_back();
  channels_.back().index = static_cast<int>(channels_.size()) - 1;
  channels_.back().members = members;
  return &channels_.back();
}

void NcclJob::EndChannel(NcclChannel* channel) {
  if (const NcclLibrary::Channel taken = TakeAway(channel)) library_.Destroy(taken);
}

Status NcclJob::Call(NcclChannel* channel, const std::string& what,
                     const std::function<Status(NcclLibrary::Channel channel)>& call) {
  const double start = Now();
  auto pause = std::chrono::microseconds(10);
  bool called = false;
  while (true) {
    StatusOr<bool> ready = false;
    {
      std::lock_guard<std::mutex> lock(channel->mutex);
      // The watch takes the channel away after it has set the fault: without one it is there, while we hold the lock.
      TRIREME_RETURN_IF_ERROR(fault());
      if (!called) {
        const Status made = call(channel->channel);
        if (!made.ok()) ready = made;
      }
      called = true;
      if (ready.ok() && channel->channel != nullptr) ready = library_.IsReady(channel->channel);
    }
    if (!ready.ok()) return Fail(FindReason(Annotate(ready.status(), what)));
    if (*ready) return absl::OkStatus();
    if (Now() - start > options_.timeout_seconds) {
      return Fail(absl::DeadlineExceededError(absl::StrCat(
          "waited ", options_.timeout_seconds, " s for the other ranks in ", what,
          "; find out what keeps them, or raise timeout_seconds in communicator { [communicator/nccl] {} } "
          "if they are only slow")));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(1000));
  }
}

StatusOr<std::string> NcclJob::Wait(const std::string& key, const std::string& what) {
  auto value = store_->Wait(key, what, options_.timeout_seconds);
  if (!value.ok()) return Fail(value.status());
  return value;
}

void NcclJob::Watch(const Status& fault) {
  // Here, not where the fault was found: NCCL's abort ends only when the last captured step that holds the channel has
  // gone, and whoever owns that step must be free to get there. A call that is being made may add a channel yet.
  if (!fault.ok()) AbortAll();
  for (NcclChannel* channel : Channels()) {
    if (this->fault().ok()) WatchChannel(channel);
  }
}

void NcclJob::WatchChannel(NcclChannel* channel) {
  NcclProgress* progress = nullptr;
  StatusOr<bool> ready = true;
  {
    std::lock_guard<std::mutex> lock(channel->mutex);
    if (channel->channel == nullptr) return;
    progress = channel->progress;
    ready = library_.IsReady(channel->channel);
  }
  if (progress == nullptr) return;
  const NcclProgress seen = Look(progress);
  if (!ready.ok()) {
    Fail(FindReason(Annotate(ready.status(), channel->Describe(seen)))).IgnoreError();
    return;
  }
  if (seen.current == 0 || seen.started != channel->last.started) {
    channel->last = seen;
    channel->since = Now();
    if (channel->told) store_->Set(StateKey(channel->index, options_.rank), "").IgnoreError();
    channel->told = false;
    return;
  }
  const Status stuck = WhyStuck(channel, seen, Now() - channel->since);
  if (!stuck.ok()) Fail(stuck).IgnoreError();
}

Status NcclJob::WhyStuck(NcclChannel* channel, const NcclProgress& seen, double seconds) {
  if (seconds < std::min(kSuspiciousSeconds, options_.timeout_seconds / 4)) return absl::OkStatus();
  const std::string mine = channel->Describe(seen);
  if (!channel->told) {
    TRIREME_RETURN_IF_ERROR(store_->Set(StateKey(channel->index, options_.rank), mine));
    channel->told = true;
  }
  std::vector<int> late;
  for (const int peer : channel->members) {
    if (peer == options_.rank) continue;
    TRIREME_ASSIGN_OR_RETURN(const auto theirs, store_->Find(StateKey(channel->index, peer)));
    if (!theirs.value_or("").empty()) {
      if (*theirs == mine || !IsCollective(mine) || !IsCollective(*theirs)) continue;
      return DifferentCalls(options_.rank, mine, peer, *theirs);
    }
    if (!WaitsFor(mine, peer)) continue;
    late.push_back(peer);
    TRIREME_ASSIGN_OR_RETURN(const auto ended, store_->Find(EndedKey(peer)));
    if (ended.has_value()) {
      return HasEnded(absl::StrCat("rank ", options_.rank, " "), {peer}, mine);
    }
  }
  if (seconds < options_.timeout_seconds) return absl::OkStatus();
  return TooLate(absl::StrCat("rank ", options_.rank, " "), options_.timeout_seconds, late, mine, "communicator/nccl");
}

Status NcclJob::FindReason(const Status& of_library) const {
  const double start = Now();
  while (options_.size > 1 && Now() - start < options_.reason_seconds) {
    if (store_->fault().has_value()) break;  // the first fault counts anyway
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return of_library;
}

}  // namespace trireme

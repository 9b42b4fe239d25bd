#include "parallel/communicator/thread/thread_job.h"

#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/base/trace.h"
#include "parallel/communicator/calls/calls.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

// Waits are made of parts: one that took twice as long is of a process that was stopped meanwhile (as Ctrl-Z does), in
// which no peer could have come.
constexpr auto kPart = std::chrono::seconds(1);

std::string Describe(const ThreadCall& call) { return absl::StrCat(call.description, " (call ", call.number, ")"); }

}  // namespace

ThreadJob::ThreadJob(int world_size, double timeout_seconds)
    : world_size_(world_size), timeout_seconds_(timeout_seconds), left_(world_size, false), bytes_sent_(world_size) {
  meetings_.push_back(std::make_unique<ThreadMeeting>(*this, AllRanks(world_size)));
}

ThreadJob::~ThreadJob() = default;

Status ThreadJob::fault() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return fault_;
}

int ThreadJob::fault_rank() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return fault_rank_;
}

void ThreadJob::Fail(int rank, const Status& fault) {
  std::lock_guard<std::mutex> lock(mutex_);
  FailLocked(rank, fault);
}

void ThreadJob::Leave(int rank, const Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  left_[rank] = true;
  // All have agreed to a stop, and the last of them may still be reading what the first has left.
  const bool fault = !status.ok() && status.code() != absl::StatusCode::kCancelled;
  if (fault) FailLocked(rank, world_size_ > 1 ? Annotate(status, absl::StrCat("rank ", rank)) : status);
  WakeAllLocked();
}

void ThreadJob::FailLocked(int rank, const Status& fault) {
  if (!fault_.ok()) return;
  fault_ = fault;
  fault_rank_ = rank;
  WakeAllLocked();
}

void ThreadJob::WakeAllLocked() {
  for (const auto& meeting : meetings_) {
    for (std::condition_variable& wake : meeting->wake_) wake.notify_all();
  }
}

ThreadMeeting::ThreadMeeting(ThreadJob& job, std::vector<int> members)
    : job_(job),
      members_(std::move(members)),
      wake_(members_.size()),
      arrivals_(members_.size()),
      offered_(members_.size(), nullptr),
      messages_(members_.size() * members_.size()),
      letters_(members_.size()) {}

std::vector<int> ThreadMeeting::InJob(const std::vector<int>& ranks) const {
  std::vector<int> in_job;
  for (int rank : ranks) in_job.push_back(members_[rank]);
  return in_job;
}

Status ThreadMeeting::AwaitReadersIfFault(Lock& lock, int rank, const Status& status) {
  if (!status.ok()) wake_[rank].wait(lock, [&] { return readers_ == 0; });
  return status;
}

void ThreadMeeting::EndReadLocked() {
  if (--readers_ > 0 || job_.fault_.ok()) return;
  for (std::condition_variable& wake : wake_) wake.notify_all();
}

template <class Ready, class Missing>
Status ThreadMeeting::Await(Lock& lock, int rank, const ThreadCall& call, const Ready& ready, const Missing& missing) {
  auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(job_.timeout_seconds_));
  if (ready()) return absl::OkStatus();
  const TraceSpan span(TraceKind::kWait, "wait for peers");
  while (!ready()) {
    if (!job_.fault_.ok()) return job_.fault_;
    const std::vector<int> late = missing();
    for (int peer : late) {
      if (!job_.left_[members_[peer]]) continue;
      job_.FailLocked(members_[rank],
                      HasEnded(absl::StrCat("rank ", members_[rank], " "), {members_[peer]}, Describe(call)));
      return job_.fault_;
    }
    const auto until = std::min(deadline, Clock::now() + kPart);
    if (wake_[rank].wait_until(lock, until) == std::cv_status::no_timeout) continue;
    if (const auto over = Clock::now() - until; over > kPart) deadline += over;
    if (Clock::now() < deadline || ready() || !job_.fault_.ok()) continue;
    job_.FailLocked(members_[rank], TooLate(absl::StrCat("rank ", members_[rank], " "), job_.timeout_seconds_,
                                            InJob(missing()), Describe(call), "communicator/threads"));
  }
  return absl::OkStatus();
}

Status ThreadMeeting::Meet(Lock& lock, int rank, const ThreadCall& call, void* offered, bool reads) {
  if (!job_.fault_.ok()) return job_.fault_;
  arrivals_[rank] = {true, call, offered};
  const int world = size();
  if (++num_arrived_ == world) {
    for (int peer = 0; peer < world; ++peer) {
      if (arrivals_[peer].call == call) continue;
      job_.FailLocked(members_[rank],
                      DifferentCalls(members_[rank], Describe(call), members_[peer], Describe(arrivals_[peer].call)));
      return job_.fault_;
    }
    num_arrived_ = 0;
    ++generation_;
    // All are readers from now on, awake or not: a fault must not let the
    // fastest free what the slowest reads.
    if (reads) readers_ += world;
    for (int peer = 0; peer < world; ++peer) {
      arrivals_[peer].here = false;
      offered_[peer] = arrivals_[peer].offered;
      wake_[peer].notify_all();
    }
    return absl::OkStatus();
  }
  const auto missing = [&] {
    std::vector<int> late;
    for (int peer = 0; peer < world; ++peer) {
      if (!arrivals_[peer].here) late.push_back(peer);
    }
    return late;
  };
  return Await(
      lock, rank, call, [&, generation = generation_] { return generation_ != generation; }, missing);
}

Status ThreadMeeting::Arrive(int rank, const ThreadCall& call, void* offered) {
  Lock lock(job_.mutex_);
  return AwaitReadersIfFault(lock, rank, Meet(lock, rank, call, offered, /*reads=*/true));
}

void ThreadMeeting::DoneReading() {
  Lock lock(job_.mutex_);
  EndReadLocked();
}

Status ThreadMeeting::Depart(int rank, const ThreadCall& call) {
  Lock lock(job_.mutex_);
  return AwaitReadersIfFault(lock, rank, Meet(lock, rank, call, nullptr, /*reads=*/false));
}

Status ThreadMeeting::Exchange(int rank, const ThreadCall& call, const void* mine, int64_t bytes,
                               std::vector<void*>* of_all) {
  CHECK_LE(bytes, kMostExchanged);
  {
    // After a fault ranks are no longer in step, and this one's bytes may still be read.
    Lock lock(job_.mutex_);
    TRIREME_RETURN_IF_ERROR(job_.fault_);
  }
  const int64_t turn = letters_[rank].num_sent++ % 2;
  std::vector<char>& letter = letters_[rank].bytes[turn];
  if (static_cast<int64_t>(letter.size()) < bytes) letter.resize(static_cast<size_t>(bytes));
  if (bytes > 0) std::memcpy(letter.data(), mine, static_cast<size_t>(bytes));
  Lock lock(job_.mutex_);
  TRIREME_RETURN_IF_ERROR(Meet(lock, rank, call, nullptr, /*reads=*/false));
  of_all->clear();
  for (Letters& letters : letters_) of_all->push_back(letters.bytes[turn].data());
  return absl::OkStatus();
}

Status ThreadMeeting::MeetWhileReading(int rank, const ThreadCall& call, void* offered) {
  Lock lock(job_.mutex_);
  return Meet(lock, rank, call, offered, /*reads=*/false);
}

Status ThreadMeeting::AwaitReaders(int rank) {
  Lock lock(job_.mutex_);
  return AwaitReadersIfFault(lock, rank, job_.fault_);
}

Status ThreadMeeting::Offer(int rank, int to, const ThreadCall& call, const Parcel& parcel) {
  Lock lock(job_.mutex_);
  TRIREME_RETURN_IF_ERROR(AwaitReadersIfFault(lock, rank, job_.fault_));
  CHECK_EQ(message(rank, to).state, Message::kNone) << Describe(call) << " by two threads at once";
  message(rank, to) = {Message::kOffered, parcel, nullptr};
  wake_[to].notify_all();
  return absl::OkStatus();
}

StatusOr<Event*> ThreadMeeting::AwaitTaken(int rank, int to, const ThreadCall& call) {
  Lock lock(job_.mutex_);
  Message& sent = message(rank, to);
  TRIREME_RETURN_IF_ERROR(AwaitReadersIfFault(
      lock, rank,
      Await(
          lock, rank, call, [&] { return sent.state != Message::kOffered; }, [&] { return std::vector<int>{to}; })));
  wake_[rank].wait(lock, [&] { return sent.state == Message::kTaken; });
  if (sent.taken == nullptr) sent.state = Message::kNone;
  return sent.taken;
}

void ThreadMeeting::Release(int rank, int to) {
  Lock lock(job_.mutex_);
  message(rank, to).state = Message::kNone;
  wake_[to].notify_all();
}

Event* ThreadMeeting::Withdraw(int rank, int to) {
  Lock lock(job_.mutex_);
  Message& sent = message(rank, to);
  if (sent.state == Message::kOffered) sent.state = Message::kNone;
  wake_[rank].wait(lock, [&] { return sent.state != Message::kBeingRead; });
  return sent.state == Message::kTaken ? sent.taken : nullptr;
}

StatusOr<ThreadMeeting::Parcel> ThreadMeeting::BeginTake(int rank, int from, const ThreadCall& call,
                                                         const Parcel& expected) {
  Lock lock(job_.mutex_);
  Message& sent = message(from, rank);
  TRIREME_RETURN_IF_ERROR(
      AwaitReadersIfFault(lock, rank,
                          Await(
                              lock, rank, call, [&] { return sent.state == Message::kOffered && job_.fault_.ok(); },
                              [&] { return std::vector<int>{from}; })));
  const bool same_kind = (sent.parcel.event == nullptr) == (expected.event == nullptr);
  if (sent.parcel.bytes != expected.bytes || !same_kind) {
    job_.FailLocked(members_[rank], absl::InternalError(absl::StrCat(
                                        "rank ", members_[from], " sent ", sent.parcel.bytes, " bytes to rank ",
                                        members_[rank], ", which waited for ", expected.bytes, " in ", Describe(call),
                                        same_kind ? "" : "; one of them is on a GPU and the other is not")));
    return AwaitReadersIfFault(lock, rank, job_.fault_);
  }
  sent.state = Message::kBeingRead;
  ++readers_;
  return sent.parcel;
}

void ThreadMeeting::EndTake(int rank, int from, Event* event) {
  Lock lock(job_.mutex_);
  Message& sent = message(from, rank);
  sent.state = Message::kTaken;
  sent.taken = event;
  EndReadLocked();
  wake_[from].notify_all();
}

void ThreadMeeting::AwaitRelease(int rank, int from) {
  Lock lock(job_.mutex_);
  // The sender has a deadline of its own.
  wake_[rank].wait(lock, [&] { return message(from, rank).state != Message::kTaken; });
}

StatusOr<ThreadMeeting*> ThreadMeeting::Found(int rank, const ThreadCall& call, const std::vector<int>& ranks) {
  if (rank == 0) {
    std::vector<int> members;
    for (int of_this : ranks) members.push_back(members_[of_this]);
    Lock lock(job_.mutex_);
    job_.meetings_.push_back(std::make_unique<ThreadMeeting>(job_, std::move(members)));
    founded_ = job_.meetings_.back().get();
  }
  Lock lock(job_.mutex_);
  TRIREME_RETURN_IF_ERROR(AwaitReadersIfFault(lock, rank, Meet(lock, rank, call, nullptr, /*reads=*/false)));
  ThreadMeeting* founded = founded_;
  ThreadCall again = call;
  again.phase = 1;
  TRIREME_RETURN_IF_ERROR(AwaitReadersIfFault(lock, rank, Meet(lock, rank, again, nullptr, /*reads=*/false)));
  return founded;
}

}  // namespace trireme

// What the threads of one job meet in: rendezvous of all, messages between two,
// and the first fault. Knows bytes and ranks, neither tensors nor streams.
//
// All state is behind one mutex, which is never held while bytes are copied.
// Each rank is one thread at a time in a Meeting. Memory that a rank offers is
// read by peers only while that rank is inside a call: a call that ends, by a
// fault too, ends when nobody reads any more.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_THREAD_THREAD_JOB_H_
#define TRIREME_PARALLEL_COMMUNICATOR_THREAD_THREAD_JOB_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/device/device.h"

namespace trireme {

// One call of one rank. Calls that meet have to be equal.
struct ThreadCall {
  std::string description;  // "AllReduce of 4096 bytes of float32"
  int64_t number = 0;       // of this communicator's calls, from 1
  int phase = 0;

  bool operator==(const ThreadCall& other) const {
    return number == other.number && phase == other.phase && description == other.description;
  }
};

class ThreadMeeting;

class ThreadJob {
 public:
  ThreadJob(int world_size, double timeout_seconds);
  ~ThreadJob();

  int world_size() const { return world_size_; }
  double timeout_seconds() const { return timeout_seconds_; }
  // The meeting of the launcher's own communicators.
  ThreadMeeting& first_meeting() { return *meetings_.front(); }

  Status fault() const;
  // The rank that found the fault, or whose fault it is; -1 if there is none.
  int fault_rank() const;
  // Ends all calls of all ranks with this status; only the first fault counts.
  void Fail(int rank, const Status& fault);
  // The worker has returned.
  void Leave(int rank, const Status& status);

  std::atomic<int64_t>& bytes_sent(int rank) { return bytes_sent_[rank]; }

 private:
  friend class ThreadMeeting;
  void FailLocked(int rank, const Status& fault);
  void WakeAllLocked();

  const int world_size_;
  const double timeout_seconds_;
  mutable std::mutex mutex_;
  Status fault_;
  int fault_rank_ = -1;
  std::vector<bool> left_;
  std::deque<std::unique_ptr<ThreadMeeting>> meetings_;
  std::vector<std::atomic<int64_t>> bytes_sent_;
};

// The meeting place of one communicator and its peers, which are counted from 0 in the order of `members`, their ranks
// in the job. Sentences name them by the latter.
class ThreadMeeting {
 public:
  ThreadMeeting(ThreadJob& job, std::vector<int> members);

  int size() const { return static_cast<int>(members_.size()); }
  int job_rank(int rank) const { return members_[rank]; }

  // Waits for all ranks. Then every rank may read what the others offered,
  // until it arrives again or calls DoneReading, one of which it has to do.
  Status Arrive(int rank, const ThreadCall& call, void* offered);
  // Valid between Arrive and DoneReading, or the next Arrive.
  const std::vector<void*>& offered() const { return offered_; }
  void DoneReading();

  // The last meeting of a call: nobody reads afterwards.
  Status Depart(int rank, const ThreadCall& call);

  // Little bytes of every rank for all, in one meeting, as they are copied to the meeting's own memory. What `*of_all`
  // points to, by rank, stays until this rank's next call but one of this function: that one needs the next, which no
  // rank makes before it has read. All ranks give as many bytes, and at most kMostExchanged.
  static constexpr int64_t kMostExchanged = int64_t{64} << 10;
  Status Exchange(int rank, const ThreadCall& call, const void* mine, int64_t bytes, std::vector<void*>* of_all);

  // A further meeting of ranks which all read, and go on to. After a fault the caller does not wait for the other
  // readers: it lets go of what it reads, and then calls DoneReading and AwaitReaders.
  Status MeetWhileReading(int rank, const ThreadCall& call, void* offered);
  // Waits until nobody reads what others have offered. Returns the job's fault.
  Status AwaitReaders(int rank);

  // What one rank hands to another. Those whose streams move the bytes add the point from which on they may be read,
  // or have been.
  struct Parcel {
    const void* data = nullptr;
    int64_t bytes = 0;
    Event* event = nullptr;
  };

  // Offers bytes to one rank and returns; AwaitTaken waits until it has them.
  Status Offer(int rank, int to, const ThreadCall& call, const Parcel& parcel);
  // The receiver's event, which lives until Release; null, and nothing to release, if it needed none.
  StatusOr<Event*> AwaitTaken(int rank, int to, const ThreadCall& call);
  void Release(int rank, int to);
  // After a fault, instead of AwaitTaken: takes the offer back, or, if it has been taken, returns the event of that.
  Event* Withdraw(int rank, int to);

  // Finds what was offered, of the same size and kind as `expected`; the caller copies it and calls EndTake.
  StatusOr<Parcel> BeginTake(int rank, int from, const ThreadCall& call, const Parcel& expected);
  // `event` may be null; else the sender is to call Release, which AwaitRelease waits for.
  void EndTake(int rank, int from, Event* event);
  void AwaitRelease(int rank, int from);

  // The same new meeting for all ranks, of some of them: `ranks`, as this meeting counts them. Collective.
  StatusOr<ThreadMeeting*> Found(int rank, const ThreadCall& call, const std::vector<int>& ranks);

 private:
  friend class ThreadJob;
  struct Arrival {
    bool here = false;
    ThreadCall call;
    void* offered = nullptr;
  };
  struct Message {
    enum { kNone, kOffered, kBeingRead, kTaken } state = kNone;
    Parcel parcel;
    Event* taken = nullptr;
  };
  using Lock = std::unique_lock<std::mutex>;

  Message& message(int from, int to) { return messages_[from * size() + to]; }
  std::vector<int> InJob(const std::vector<int>& ranks) const;
  Status Meet(Lock& lock, int rank, const ThreadCall& call, void* offered, bool reads);
  void EndReadLocked();
  // Waits until ready(), which is asked first, or a fault, or until a rank of
  // missing() has left or the deadline has passed, which become faults. After a
  // fault this and Meet return at once, though others may still read this
  // rank's memory.
  template <class Ready, class Missing>
  Status Await(Lock& lock, int rank, const ThreadCall& call, const Ready& ready, const Missing& missing);
  // The status; if it is a fault, once nobody reads this rank's memory any more.
  Status AwaitReadersIfFault(Lock& lock, int rank, const Status& status);

  ThreadJob& job_;
  const std::vector<int> members_;
  std::deque<std::condition_variable> wake_;  // by rank
  std::vector<Arrival> arrivals_;             // by rank
  int num_arrived_ = 0;
  int64_t generation_ = 0;
  std::vector<void*> offered_;  // by rank, of the generation that met last
  std::vector<Message> messages_;
  int readers_ = 0;
  // Of Exchange; a rank writes its own only.
  struct Letters {
    std::vector<char> bytes[2];  // every other call's
    int64_t num_sent = 0;
  };
  std::vector<Letters> letters_;  // by rank
  ThreadMeeting* founded_ = nullptr;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_THREAD_THREAD_JOB_H_

// What the channels of one rank have in common: the first fault, and the thread that watches over them.
//
// The watch looks, several times a second, at what NCCL says of each channel, at how long its stream has been in one
// operation, and at the store, where the other ranks leave their faults. At the first fault it aborts all channels, so
// that no stream and no host waits any longer. A fault of this rank's own goes into the store.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_JOB_H_
#define TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_JOB_H_

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/communicator/calls/fault_watch.h"
#include "parallel/communicator/nccl/nccl_library.h"
#include "parallel/communicator/nccl/nccl_progress.h"
#include "parallel/launch/store.h"

namespace trireme {

// One ncclComm_t with what is known of its work. The channel is used under the mutex; an abort takes it away.
struct NcclChannel {
  // The number of an operation that is described so, from 1.
  int64_t NumberOf(const std::string& description);
  std::string Describe(const NcclProgress& seen);

  std::mutex mutex;
  NcclLibrary::Channel channel = nullptr;
  NcclLibrary::Channel split = nullptr;  // where NCCL puts a duplicate, at a moment of its own choice
  int index = 0;                         // in the order of their making, the same on all ranks
  std::vector<int> members;              // the job's ranks that use it, by their ranks in it
  std::shared_ptr<void> memory;
  NcclProgress* progress = nullptr;  // in `memory`
  std::shared_ptr<void> word;        // on the device, for barriers
  std::vector<std::string> descriptions;
  std::map<std::string, int64_t> numbers;

  // The watch's own.
  NcclProgress last{};
  double since = 0;
  bool told = false;  // the store has what this rank is in
};

struct NcclJobOptions {
  int rank = 0;
  int size = 1;
  double timeout_seconds = 60;
  double watch_seconds = 0.1;  // between two looks
  double reason_seconds = 2;   // that a peer's own words are waited for when NCCL says that it is gone
};

class NcclJob {
 public:
  NcclJob(NcclLibrary& library, std::shared_ptr<Store> store, const NcclJobOptions& options);
  ~NcclJob();

  NcclLibrary& library() { return library_; }
  Store& store() { return *store_; }
  const NcclJobOptions& options() const { return options_; }

  Status fault() const { return watch_.fault(); }
  // This rank's fault: only the first of the job counts. Returns that one.
  Status Fail(const Status& fault) { return watch_.Fail(fault); }
  int64_t bytes_sent() const;

  // The channels live as long as the job. Every rank adds each, whether it is a member or not.
  NcclChannel* AddChannel(const std::vector<int>& members);
  // Ends it, if no fault has.
  void EndChannel(NcclChannel* channel);

  // Makes a call and waits until the library says that it is done, or for a fault, or for the deadline, which is one.
  Status Call(NcclChannel* channel, const std::string& what,
              const std::function<Status(NcclLibrary::Channel channel)>& call);
  // Waits for a value of another rank; a failure is a fault.
  StatusOr<std::string> Wait(const std::string& key, const std::string& what);

 private:
  std::vector<NcclChannel*> Channels();
  void AbortAll();
  // On the watch's thread.
  void Watch(const Status& fault);
  void WatchChannel(NcclChannel* channel);
  // OK, or why it will not go on: a peer has ended, is in another call, or is too late.
  Status WhyStuck(NcclChannel* channel, const NcclProgress& seen, double seconds);
  // After NCCL has failed: the words of whoever was the cause, if they come soon.
  Status FindReason(const Status& of_library) const;

  NcclLibrary& library_;
  const std::shared_ptr<Store> store_;
  const NcclJobOptions options_;
  mutable std::mutex mutex_;
  std::list<NcclChannel> channels_;
  FaultWatch watch_;  // ends before what it looks at
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_NCCL_NCCL_JOB_H_

// What the channels of one rank have in common: Gloo's device, the first fault, and the thread that watches over them.
//
// Gloo's own waits cannot tell who is late, nor be ended from elsewhere. So a watch looks, several times a second, at
// how long each channel has been in one call, and at the store, where the other ranks leave their faults; a call that
// takes long is told to the peers through the store, and compared with theirs. At the first fault all channels are
// broken, so that no call waits any longer. A fault of this rank's own goes into the store.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_JOB_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_JOB_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/communicator/calls/fault_watch.h"
#include "parallel/communicator/gloo/gloo_channel.h"
#include "parallel/launch/store.h"

namespace trireme {

struct GlooJobOptions {
  int rank = 0;
  int size = 1;
  double timeout_seconds = 60;
  std::string listen_on = "127.0.0.1";  // an address, or the name of a network interface
  double watch_seconds = 0.1;           // between two looks
  double reason_seconds = 2;            // that a peer's own words are waited for when a connection is lost
};

class GlooJob {
 public:
  // Connects nothing yet.
  static StatusOr<std::shared_ptr<GlooJob>> Start(std::shared_ptr<Store> store, const GlooJobOptions& options);
  // Waits until all other ranks have come to their end too, or until there is a fault or the deadline: what was sent to
  // them last might be lost if this rank closed its connections.
  ~GlooJob();

  const GlooJobOptions& options() const { return options_; }

  Status fault() const { return watch_.fault(); }
  // This rank's fault: only the first of the job counts. Returns that one.
  Status Fail(const Status& fault);

  std::atomic<int64_t>& bytes_sent() { return bytes_sent_; }

  // Collective over the members. Channels live as long as the job.
  StatusOr<GlooChannel*> NewChannel(const std::string& name, const std::vector<int>& members);

  // Makes a call, which may throw what Gloo does. Returns the fault that it met.
  Status Call(GlooChannel* channel, const GlooCall& call, const std::function<void()>& body);

 private:
  GlooJob(std::shared_ptr<Store> store, const GlooJobOptions& options);
  Status ConnectChannel(GlooChannel* channel);
  std::vector<GlooChannel*> Channels();
  void BreakAll();
  // On the watch's thread.
  void Watch(const Status& fault);
  void WatchChannel(GlooChannel* channel);
  // OK, or why it will not go on: a peer has ended, is in another call, or is too late.
  Status WhyStuck(GlooChannel* channel, const GlooChannel::Doing& doing);
  bool HasLeft(int rank) const;
  // Of one that has left: whether `mine` needs nothing of it any more that is not under way.
  bool HasDoneItsPart(const GlooChannel& channel, int place, const GlooCall& mine) const;
  // After Gloo has failed: the words of whoever was the cause, if they come soon.
  Status FindReason(const GlooChannel& channel, const GlooCall& call, const std::string& words_of_gloo) const;
  void Farewell();

  const std::shared_ptr<Store> store_;
  const GlooJobOptions options_;
  std::shared_ptr<gloo::transport::Device> device_;
  bool connected_ = false;
  std::atomic<int64_t> bytes_sent_{0};
  std::mutex mutex_;
  std::list<GlooChannel> channels_;
  FaultWatch watch_;  // ends before what it looks at
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_JOB_H_

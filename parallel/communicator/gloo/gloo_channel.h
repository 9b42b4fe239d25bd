// The connections of one communicator: a Gloo context whose pairs have been authenticated, and what this rank is doing
// in it. Knows no tensors.
//
// Gloo's own threads move the bytes. Its sockets listen only while a channel connects, at addresses that only the job's
// store tells; whoever comes first to one is then asked to prove that it knows the job's secret, before any call. Until
// then Gloo reads what it is sent: one who speaks Gloo's own protocol can end the process, though not take part.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHANNEL_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHANNEL_H_

#include <gloo/transport/device.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/communicator/gloo/gloo_call.h"
#include "parallel/communicator/gloo/gloo_context.h"
#include "parallel/launch/store.h"

namespace trireme {

class GlooChannel {
 public:
  // `members` are ranks of the job, in the order of their places here; `rank` is one of them. The name is the same on
  // all of them and no other channel's.
  GlooChannel(std::string name, std::vector<int> members, int rank);

  const std::string& name() const { return name_; }
  int place() const { return place_; }
  int size() const { return static_cast<int>(members_.size()); }
  int member(int place) const { return members_[static_cast<size_t>(place)]; }
  const std::vector<int>& members() const { return members_; }

  // Gloo's. Used by the thread that calls; null before Connect.
  const std::shared_ptr<gloo::Context>& context() const { return context_; }

  // One attempt to connect all members, in words of its own keys in the store. PermissionDenied if somebody answered
  // who does not belong, Unavailable if a connection was lost; all members get the same status. The store's faults and
  // deadlines as they are, and Gloo's as exceptions.
  Status Connect(const std::shared_ptr<gloo::transport::Device>& device, Store* store, const std::string& secret,
                 int attempt, double timeout_seconds);

  // Ends all calls on it, and those to come, by exceptions. From any thread.
  void Break();

  // What this rank is in, if anything, and for how long.
  struct Doing {
    GlooCall call;
    int64_t serial = 0;  // of its calls here; 0: in none
    double seconds = 0;
  };
  Doing doing() const;
  void Begin(const GlooCall& call);
  void End();

  // The caller's own.
  GlooTally tally;
  int num_children = 0;
  // The watch's own: the serial of the call that the store has been told of.
  int64_t told = 0;

 private:
  Status Challenge(const std::string& secret, const std::string& prefix, double seconds);

  const std::string name_;
  const std::vector<int> members_;
  int place_ = 0;
  std::shared_ptr<gloo::Context> context_;

  mutable std::mutex mutex_;
  std::shared_ptr<GlooContext> breakable_;  // context_, for other threads
  bool broken_ = false;
  GlooCall call_;
  int64_t num_begun_ = 0;
  bool busy_ = false;
  std::chrono::steady_clock::time_point since_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHANNEL_H_

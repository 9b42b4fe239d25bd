// A rank's part as a server: its shard, its ends of the workers' channels, and what the workers announce.
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_SIDE_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_SIDE_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/strategy.h"
#include "parallel/strategies/parameter_server/server_link.h"
#include "parallel/strategies/parameter_server/shard_server.h"

namespace trireme {

class ServerSide {
 public:
  // `name` is for sentences. See ShardServer for the rest.
  ServerSide(std::string name, const ShardServer::Options& options, ShardServer::Parts parts);

  // From now on those workers are answered that have a channel, by worker; one on this rank has none, and uses
  // shard_server() itself. Channels and threads end with this object, once the workers have said that they end, or with
  // a fault. Gradients come in `type_on_the_wire`.
  void Answer(std::vector<std::unique_ptr<Communicator>> channels, Device& device, DataType type_on_the_wire);

  ShardServer& shard_server() { return shard_; }
  const std::string& name() const { return name_; }

  // On a rank that only serves: waits for the next interruption that the workers announce, or for a fault of the job.
  StatusOr<Interruption> AwaitInterruption();
  // A fault with this server's name, and what it waits for.
  Status Named(const Status& fault) const;

 private:
  const std::string name_;
  const std::function<Status()> fault_;
  ShardServer shard_;
  std::mutex mutex_;
  std::condition_variable heard_;
  std::deque<Interruption> interruptions_;
  // The last member: their threads refer to the others.
  std::vector<std::unique_ptr<ServerLink>> links_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_SIDE_H_

// A server's end of one worker's channel: a thread that hears the worker's words and answers them (see messages.h).
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_LINK_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_LINK_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "core/api/communicator.h"
#include "parallel/strategies/parameter_server/messages.h"
#include "parallel/strategies/parameter_server/shard_server.h"

namespace trireme {

class ServerLink {
 public:
  struct Parts {
    int worker = 0;                                  // its rank, too
    std::string name;                                // of the server, for sentences
    std::unique_ptr<Communicator> channel;           // the worker's
    ShardServer* server = nullptr;                   // outlives the link
    Device* device = nullptr;                        // outlives the link
    DataType type_on_the_wire = DataType::kFloat32;  // gradients'; see TypeOnTheWire
    std::function<void(const Interruption&)> on_settle;
  };
  // Serves from now on. A fault that is not the job's already becomes it.
  explicit ServerLink(Parts parts);
  // Waits for the worker's kEnd, or for a fault of the job.
  ~ServerLink();
  ServerLink(const ServerLink&) = delete;
  ServerLink& operator=(const ServerLink&) = delete;

 private:
  Status Loop();
  Status Answer(const PushHeader& header, bool* ended);
  Status Hear(const Tensor& tensor);
  // Gradients, to float32 [a part's size].
  Status HearPart(const Tensor& to);
  // All parts of the shard, which `of_shard` holds.
  Status TellParts(const Tensor& of_shard);

  const Parts parts_;
  const Tensor header_, control_;
  const std::shared_ptr<void> host_header_;
  const Tensor answer_;  // where the values for this worker are
  Tensor narrow_;        // a part's gradients as they arrive; undefined where that is in float32
  int64_t step_ = 0;
  // The last members: their work refers to the others.
  const std::unique_ptr<Stream> stream_;
  std::thread thread_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_SERVER_LINK_H_

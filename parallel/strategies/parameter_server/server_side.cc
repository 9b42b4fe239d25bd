#include "parallel/strategies/parameter_server/server_side.h"

#include <chrono>

#include "absl/strings/match.h"

namespace trireme {
namespace {

constexpr auto kFaultCheck = std::chrono::milliseconds(20);

}  // namespace

ServerSide::ServerSide(std::string name, const ShardServer::Options& options, ShardServer::Parts parts)
    : name_(std::move(name)), fault_(parts.fault), shard_(options, std::move(parts)) {}

void ServerSide::Answer(std::vector<std::unique_ptr<Communicator>> channels, Device& device,
                        DataType type_on_the_wire) {
  for (size_t worker = 0; worker < channels.size(); ++worker) {
    if (channels[worker] == nullptr) continue;
    ServerLink::Parts parts;
    parts.worker = static_cast<int>(worker);
    parts.name = name_;
    parts.channel = std::move(channels[worker]);
    parts.server = &shard_;
    parts.device = &device;
    parts.type_on_the_wire = type_on_the_wire;
    parts.on_settle = [this](const Interruption& interruption) {
      std::lock_guard<std::mutex> lock(mutex_);
      interruptions_.push_back(interruption);
      heard_.notify_all();
    };
    links_.push_back(std::make_unique<ServerLink>(std::move(parts)));
  }
}

StatusOr<Interruption> ServerSide::AwaitInterruption() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!heard_.wait_for(lock, kFaultCheck, [&] { return !interruptions_.empty(); }))
    TRIREME_RETURN_IF_ERROR(fault_());
  const Interruption interruption = interruptions_.front();
  interruptions_.pop_front();
  return interruption;
}

Status ServerSide::Named(const Status& fault) const {
  // One of its links may have been the first to tell.
  if (absl::StrContains(fault.message(), name_)) return fault;
  return Annotate(fault, absl::StrCat(name_, ", ", shard_.Describe()));
}

}  // namespace trireme

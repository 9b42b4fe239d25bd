#include "parallel/strategies/parameter_server/server_link.h"

#include <glog/logging.h>
#include <pthread.h>

#include "parallel/strategies/compression.h"
#include "parallel/strategies/parameter_server/push_sum.h"

namespace trireme {

ServerLink::ServerLink(Parts parts)
    : parts_(std::move(parts)),
      header_(Tensor::Zeros(*parts_.device, {kPushHeaderWords}, DataType::kInt64, MemoryKind::kGradients)),
      control_(Tensor::Zeros(*parts_.device, {kPushControlBytes}, DataType::kUint8, MemoryKind::kGradients)),
      host_header_(parts_.device->NewHostBuffer(sizeof(PushHeader))),
      answer_(parts_.server->answer(parts_.worker)),
      stream_(parts_.device->NewStream(absl::StrCat("serve ", parts_.worker))) {
  if (parts_.type_on_the_wire != DataType::kFloat32) {
    const int64_t longest = parts_.server->shard().longest_part();
    narrow_ = Tensor::Empty(*parts_.device, {longest}, parts_.type_on_the_wire, MemoryKind::kGradients);
  }
  // What was filled on the compute stream is there for the other stream.
  parts_.device->compute_stream().Synchronize();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), absl::StrCat("server of ", parts_.worker).substr(0, 15).c_str());
    const Status status = CatchDeviceError([this] { return Loop(); });
    if (status.ok()) return;
    parts_.channel->Abort(Annotate(status, absl::StrCat(parts_.name, ", step ", step_, " of worker ", parts_.worker)));
  });
}

ServerLink::~ServerLink() { thread_.join(); }

Status ServerLink::Loop() {
  parts_.device->BindToThisThread();
  for (bool ended = false; !ended;) {
    TRIREME_RETURN_IF_ERROR(parts_.channel->Receive(header_, parts_.worker, *stream_));
    parts_.device->Copy(host_header_.get(), header_.raw(), sizeof(PushHeader), *stream_);
    stream_->Synchronize();
    TRIREME_RETURN_IF_ERROR(parts_.channel->status());
    TRIREME_RETURN_IF_ERROR(Answer(*static_cast<const PushHeader*>(host_header_.get()), &ended));
  }
  return absl::OkStatus();
}

Status ServerLink::Hear(const Tensor& tensor) {
  TRIREME_RETURN_IF_ERROR(parts_.channel->Receive(tensor, parts_.worker, *stream_));
  stream_->Synchronize();
  return parts_.channel->status();
}

Status ServerLink::HearPart(const Tensor& to) {
  if (!narrow_.defined()) return Hear(to);
  const Tensor narrow = narrow_.Flat(0, to.size());
  TRIREME_RETURN_IF_ERROR(Hear(narrow));
  GradientCompression::Expand(narrow, to, *stream_);
  stream_->Synchronize();
  return absl::OkStatus();
}

Status ServerLink::TellParts(const Tensor& of_shard) {
  const Shard& shard = parts_.server->shard();
  for (const ShardPart& part : shard.parts) {
    TRIREME_RETURN_IF_ERROR(
        parts_.channel->Send(of_shard.Flat(part.begin - shard.begin, part.end - shard.begin), parts_.worker, *stream_));
  }
  stream_->Synchronize();
  return parts_.channel->status();
}

Status ServerLink::Answer(const PushHeader& header, bool* ended) {
  ShardServer& server = *parts_.server;
  const Shard& shard = server.shard();
  switch (header.kind) {
    case PushHeader::kBeat:
      return absl::OkStatus();
    case PushHeader::kPart: {
      step_ = header.step;
      if (header.detail < 0 || header.detail >= static_cast<int64_t>(shard.parts.size())) break;
      const ShardPart& part = shard.parts[static_cast<size_t>(header.detail)];
      TRIREME_RETURN_IF_ERROR(
          HearPart(server.incoming(parts_.worker).Flat(part.begin - shard.begin, part.end - shard.begin)));
      return server.ArrivePart(parts_.worker, step_, static_cast<int>(header.detail), *stream_);
    }
    case PushHeader::kSums:
      step_ = header.step;
      TRIREME_RETURN_IF_ERROR(server.AwaitSums(step_));
      return TellParts(server.sums());
    case PushHeader::kControl:
      step_ = header.step;
      TRIREME_RETURN_IF_ERROR(Hear(control_));
      TRIREME_RETURN_IF_ERROR(server.ArriveControl(parts_.worker, step_, ControlIn(control_), *stream_));
      TRIREME_RETURN_IF_ERROR(server.AwaitValues(parts_.worker, step_, answer_, *stream_));
      return TellParts(answer_);
    case PushHeader::kSettle:
      parts_.on_settle(InterruptionOf(header));
      return absl::OkStatus();
    case PushHeader::kEnd:
      *ended = true;
      return absl::OkStatus();
  }
  return absl::InternalError(absl::StrCat("rank ", parts_.worker, " says (", header.kind, ", ", header.step, ", ",
                                          header.detail, "), which means nothing"));
}

}  // namespace trireme

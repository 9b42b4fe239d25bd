#include "parallel/strategies/parameter_server/worker_link.h"

#include <glog/logging.h>
#include <pthread.h>

#include <algorithm>

#include "absl/strings/str_join.h"

namespace trireme {

WorkerLink::WorkerLink(Parts parts)
    : arena_(*parts.arena),
      device_(arena_.device()),
      servers_(std::move(parts.servers)),
      channel_(std::move(parts.channel)) {
  if (servers_.empty()) return;
  std::vector<int> ranks;
  int64_t longest = 0;
  for (const Server& server : servers_) {
    ranks.push_back(server.rank);
    longest = std::max(longest, server.shard->longest_part());
  }
  pull_ = absl::StrCat(" of the shards of rank", ranks.size() == 1 ? " " : "s ", absl::StrJoin(ranks, ", "));
  if (parts.type_on_the_wire != DataType::kFloat32) {
    compression_ = std::make_unique<GradientCompression>(arena_, parts.type_on_the_wire, longest, parts.may_skip);
  }
  stream_ = device_.NewStream("push");
  const int64_t count = static_cast<int64_t>(servers_.size());
  headers_ = Tensor::Zeros(device_, {count, kPushHeaderWords}, DataType::kInt64, MemoryKind::kGradients);
  host_headers_ = device_.NewHostBuffer(servers_.size() * sizeof(PushHeader));
  device_.compute_stream().Synchronize();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "push link");
    Loop();
  });
}

WorkerLink::~WorkerLink() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void WorkerLink::Push(int64_t step, const Bucket& bucket, int number, Event* ready) {
  Command command;
  command.header = {PushHeader::kPart, step, 0};
  command.bucket = number;
  command.what = absl::StrCat("push of bucket ", number + 1, " (", bucket.name, ")");
  command.ready = ready;
  Enqueue(std::move(command));
}

void WorkerLink::PullSums(int64_t step) {
  Command command;
  command.header = {PushHeader::kSums, step, 0};
  command.what = absl::StrCat("sums", pull_);
  Enqueue(std::move(command));
}

void WorkerLink::Pull(int64_t step, const GradientGuard& guard, const Tensor& control, Event* ready) {
  Command command;
  command.header = {PushHeader::kControl, step, 0};
  command.what = absl::StrCat("pull", pull_);
  command.guard = &guard;
  command.control = control;
  command.ready = ready;
  Enqueue(std::move(command));
}

void WorkerLink::Settle(const Interruption& interruption) {
  Command command;
  command.header = SettleHeader(interruption);
  command.what = "settling";
  Enqueue(std::move(command));
}

Status WorkerLink::AwaitPull() {
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [&] { return completed_ == enqueued_ || !status_.ok(); });
  return status_;
}

double WorkerLink::busy_seconds() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return busy_seconds_;
}

std::vector<std::pair<std::string, Tensor>> WorkerLink::State() const {
  if (compression_ == nullptr) return {};
  return compression_->State();
}

void WorkerLink::Enqueue(Command command) {
  if (servers_.empty()) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(command));
    ++enqueued_;
  }
  wake_.notify_all();
}

void WorkerLink::Loop() {
  const Status bound = CatchDeviceError([&] {
    device_.BindToThisThread();
    return absl::OkStatus();
  });
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait_for(lock, kPushBeat, [&] { return ending_ || !queue_.empty(); });
    Command command;  // a beat
    const bool is_own = !queue_.empty(), ends = queue_.empty() && ending_;
    if (is_own) {
      command = std::move(queue_.front());
      queue_.pop_front();
    } else if (ends) {
      command.header.kind = PushHeader::kEnd;
      command.what = "the end";
    }
    lock.unlock();
    const auto start = std::chrono::steady_clock::now();
    const Status status = bound.ok() ? CatchDeviceError([&] { return Do(command); }) : bound;
    const Status fault = command.what.empty() ? status : Annotate(status, command.what);
    if (!fault.ok()) EndAll(fault);
    lock.lock();
    if (is_own) {
      ++completed_;
      busy_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    if (!fault.ok()) {
      status_ = fault;
      done_.notify_all();
      return;
    }
    done_.notify_all();
    if (ends) return;
  }
}

void WorkerLink::EndAll(const Status& reason) {
  channel_->Abort(reason);  // if there is no other fault already
  CatchDeviceError([&] {
    stream_->Synchronize();
    return absl::OkStatus();
  }).IgnoreError();
}

Status WorkerLink::Say(size_t server, const PushHeader& header) {
  PushHeader* host = static_cast<PushHeader*>(host_headers_.get()) + server;
  *host = header;
  const Tensor tensor = headers_.Slice(static_cast<int64_t>(server), static_cast<int64_t>(server) + 1);
  device_.Copy(tensor.raw(), host, sizeof(PushHeader), *stream_);
  return channel_->Send(tensor, servers_[server].rank, *stream_);
}

Status WorkerLink::Do(const Command& command) {
  if (command.ready != nullptr) stream_->Wait(*command.ready);
  switch (command.header.kind) {
    case PushHeader::kPart:
      TRIREME_RETURN_IF_ERROR(SendBucket(command));
      break;
    case PushHeader::kSums:
      TRIREME_RETURN_IF_ERROR(ReceiveSums(command.header));
      break;
    case PushHeader::kControl:
      TRIREME_RETURN_IF_ERROR(ExchangeControl(command));
      break;
    default:
      for (size_t i = 0; i < servers_.size(); ++i) TRIREME_RETURN_IF_ERROR(Say(i, command.header));
  }
  // Also for the headers, which the next command writes anew.
  stream_->Synchronize();
  return channel_->status();
}

Status WorkerLink::SendBucket(const Command& command) {
  PushHeader header = command.header;
  for (size_t i = 0; i < servers_.size(); ++i) {
    const std::vector<ShardPart>& parts = servers_[i].shard->parts;
    for (size_t p = 0; p < parts.size(); ++p) {
      if (parts[p].bucket != command.bucket) continue;
      header.detail = static_cast<int64_t>(p);
      TRIREME_RETURN_IF_ERROR(Say(i, header));
      Tensor gradients = arena_.gradients().Flat(parts[p].begin, parts[p].end);
      if (compression_ != nullptr) gradients = compression_->Compress(parts[p].begin, gradients, *stream_);
      TRIREME_RETURN_IF_ERROR(channel_->Send(gradients, servers_[i].rank, *stream_));
    }
  }
  return absl::OkStatus();
}

Status WorkerLink::ReceiveSums(const PushHeader& header) {
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (servers_[i].shows_sums) TRIREME_RETURN_IF_ERROR(Say(i, header));
  }
  for (const Server& server : servers_) {
    if (server.shows_sums) TRIREME_RETURN_IF_ERROR(ReceiveParts(server, arena_.gradients()));
  }
  return absl::OkStatus();
}

Status WorkerLink::ExchangeControl(const Command& command) {
  if (compression_ != nullptr) compression_->Decided(*command.guard, *stream_);
  for (size_t i = 0; i < servers_.size(); ++i) {
    TRIREME_RETURN_IF_ERROR(Say(i, command.header));
    TRIREME_RETURN_IF_ERROR(channel_->Send(command.control, servers_[i].rank, *stream_));
  }
  for (const Server& server : servers_) TRIREME_RETURN_IF_ERROR(ReceiveParts(server, arena_.values()));
  return absl::OkStatus();
}

Status WorkerLink::ReceiveParts(const Server& server, const Tensor& of_arena) {
  for (const ShardPart& part : server.shard->parts) {
    TRIREME_RETURN_IF_ERROR(channel_->Receive(of_arena.Flat(part.begin, part.end), server.rank, *stream_));
  }
  return absl::OkStatus();
}

}  // namespace trireme

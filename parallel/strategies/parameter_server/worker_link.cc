#include "parallel/strategies/parameter_server/worker_link.h"

#include <glog/logging.h>
#include <pthread.h>

#include "absl/strings/str_join.h"

namespace trireme {

WorkerLink::WorkerLink(const ParameterArena& arena, std::vector<Server> servers, std::unique_ptr<Communicator> channel)
    : arena_(arena), device_(arena.device()), servers_(std::move(servers)), channel_(std::move(channel)) {
  if (servers_.empty()) return;
  std::vector<int> ranks;
  for (const Server& server : servers_) ranks.push_back(server.rank);
  pull_ = absl::StrCat("pull of the shards of rank", ranks.size() == 1 ? " " : "s ", absl::StrJoin(ranks, ", "));
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
  Enqueue({{PushHeader::kPart, step, 0},
           number,
           absl::StrCat("push of bucket ", number + 1, " (", bucket.name, ")"),
           Tensor(),
           ready});
}

void WorkerLink::Pull(int64_t step, const Tensor& control, Event* ready) {
  Enqueue({{PushHeader::kControl, step, 0}, -1, pull_, control, ready});
}

void WorkerLink::Settle(const Interruption& interruption) {
  Enqueue({SettleHeader(interruption), -1, "settling", Tensor(), nullptr});
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
  for (size_t i = 0; i < servers_.size(); ++i) {
    const Server& server = servers_[i];
    PushHeader header = command.header;
    if (header.kind != PushHeader::kPart) {
      TRIREME_RETURN_IF_ERROR(Say(i, header));
      if (header.kind == PushHeader::kControl) {
        TRIREME_RETURN_IF_ERROR(channel_->Send(command.control, server.rank, *stream_));
      }
      continue;
    }
    for (size_t p = 0; p < server.shard->parts.size(); ++p) {
      const ShardPart& part = server.shard->parts[p];
      if (part.bucket != command.bucket) continue;
      header.detail = static_cast<int64_t>(p);
      TRIREME_RETURN_IF_ERROR(Say(i, header));
      TRIREME_RETURN_IF_ERROR(channel_->Send(arena_.gradients().Flat(part.begin, part.end), server.rank, *stream_));
    }
  }
  if (command.header.kind == PushHeader::kControl) {
    for (const Server& server : servers_) {
      for (const ShardPart& part : server.shard->parts) {
        TRIREME_RETURN_IF_ERROR(channel_->Receive(arena_.values().Flat(part.begin, part.end), server.rank, *stream_));
      }
    }
  }
  // Also for the headers, which the next command writes anew.
  stream_->Synchronize();
  return channel_->status();
}

}  // namespace trireme

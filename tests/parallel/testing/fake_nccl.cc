#include "tests/parallel/testing/fake_nccl.h"

#include <glog/logging.h>

#include <cstring>

#include "parallel/communicator/reduction/reduce.h"

namespace trireme::testing {
namespace {

using Fabric = FakeNcclFabric;

Fabric::Channel* Of(NcclLibrary::Channel channel) {
  auto* of = static_cast<Fabric::Channel*>(channel);
  CHECK(of != nullptr && !of->destroyed) << "a channel is used that is none";
  return of;
}

void Copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0 && to != from) std::memmove(to, from, static_cast<size_t>(bytes));
}

}  // namespace

void Fabric::Break(int rank, const Status& error) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (Channel& channel : channels_) {
    if (channel.of == rank) channel.error = error;
  }
}

int Fabric::num_aborted(int rank) const {
  std::lock_guard<std::mutex> lock(mutex_);
  int count = 0;
  for (const Channel& channel : channels_) count += channel.of == rank && channel.aborted;
  return count;
}

Fabric::Channel* Fabric::NewChannel(Group* group, int rank, int of) {
  channels_.emplace_back();
  channels_.back().group = group;
  channels_.back().rank = rank;
  channels_.back().of = of;
  ++group->joined;
  return &channels_.back();
}

void Fabric::Perform(Group* group, Meeting* meeting) {
  std::map<int, Call>& calls = meeting->calls;
  const Call& first = calls[0];
  const int size = group->size;
  std::vector<void*> sources;
  for (int rank = 0; rank < size; ++rank) sources.push_back(calls[rank].from);
  if (first.kind.rfind("AllReduce", 0) == 0 || first.kind.rfind("ReduceScatter", 0) == 0) {
    const bool scatter = first.kind[0] == 'R';
    const int64_t total = scatter ? first.count * size : first.count;
    std::vector<char> sum(total * SizeOf(first.type));
    ReduceInRankOrder(first.type, first.operation, sources, 0, total, sum.data());
    for (int rank = 0; rank < size; ++rank) {
      Copy(calls[rank].to, sum.data() + (scatter ? rank * first.bytes : 0), first.bytes);
    }
  } else if (first.kind.rfind("AllGather", 0) == 0) {
    for (int rank = 0; rank < size; ++rank) {
      for (int peer = 0; peer < size; ++peer) {
        Copy(static_cast<char*>(calls[rank].to) + peer * first.bytes, calls[peer].from, first.bytes);
      }
    }
  } else {
    for (int rank = 0; rank < size; ++rank) Copy(calls[rank].to, calls[first.root].from, first.bytes);
  }
  meeting->done = true;
}

void Fabric::Perform(Split* split) {
  if (!split->made.empty()) return;
  std::map<int, int> by_place;
  for (const auto& [rank, place] : split->places) {
    split->made[rank] = nullptr;
    if (place >= 0) by_place[place] = rank;
  }
  all_groups_.emplace_back();
  Group* group = &all_groups_.back();
  group->size = static_cast<int>(by_place.size());
  for (const auto& [place, rank] : by_place) {
    const int number = group->joined;
    split->made[rank] = NewChannel(group, number, split->owners[rank]);
  }
}

Status FakeNccl::Join(const std::string& id, int rank, int size, Channel* channel) {
  std::lock_guard<std::mutex> lock(fabric_.mutex_);
  Fabric::Group*& group = fabric_.groups_[id];
  if (group == nullptr) {
    fabric_.all_groups_.emplace_back();
    group = &fabric_.all_groups_.back();
    group->size = size;
  }
  *channel = fabric_.NewChannel(group, rank, rank_);
  return absl::OkStatus();
}

Status FakeNccl::Split(Channel parent, int place, Channel* child) {
  std::lock_guard<std::mutex> lock(fabric_.mutex_);
  Fabric::Channel* channel = Of(parent);
  Fabric::Split& split = channel->group->splits[channel->splits++];
  split.places[channel->rank] = place;
  split.owners[channel->rank] = rank_;
  channel->splitting = &split;
  channel->split_to = child;
  return absl::OkStatus();
}

StatusOr<bool> FakeNccl::IsReady(Channel channel) {
  std::lock_guard<std::mutex> lock(fabric_.mutex_);
  Fabric::Channel* of = Of(channel);
  TRIREME_RETURN_IF_ERROR(of->error);
  if (of->splitting != nullptr) {
    Fabric::Split& split = *of->splitting;
    if (static_cast<int>(split.places.size()) < of->group->size) return false;
    fabric_.Perform(&split);
    *of->split_to = split.made[of->rank];
    of->splitting = nullptr;
  }
  return of->group->joined == of->group->size;
}

Status FakeNccl::Meet(Channel channel, const FakeNcclFabric::Call& call, Stream& stream) {
  Fabric::Channel* of = Of(channel);
  CHECK(!stream.is_inline());
  {
    std::lock_guard<std::mutex> lock(fabric_.mutex_);
    CHECK_EQ(of->group->joined, of->group->size) << "used before it was ready";
  }
  stream.Enqueue([this, of, call] {
    std::unique_lock<std::mutex> lock(fabric_.mutex_);
    Fabric::Meeting& meeting = of->group->meetings[of->calls++];
    meeting.calls[of->rank] = call;
    bool fits = static_cast<int>(meeting.calls.size()) == of->group->size;
    for (const auto& [rank, other] : meeting.calls) fits = fits && other.kind == call.kind && other.bytes == call.bytes;
    if (fits && !of->aborted) fabric_.Perform(of->group, &meeting);
    fabric_.changed_.notify_all();
    fabric_.changed_.wait(lock, [&] { return meeting.done || of->aborted; });
    // Its memory may go now.
    if (!meeting.done) meeting.calls.erase(of->rank);
  });
  return absl::OkStatus();
}

Status FakeNccl::AllReduce(Channel channel, void* data, int64_t count, DataType type, ReduceOperation operation,
                           Stream& stream) {
  return Meet(channel,
              {absl::StrCat("AllReduce ", static_cast<int>(type), static_cast<int>(operation)), data, data,
               count * SizeOf(type), count, type, operation, 0},
              stream);
}

Status FakeNccl::ReduceScatter(Channel channel, const void* all, void* part, int64_t count, DataType type,
                               ReduceOperation operation, Stream& stream) {
  return Meet(channel,
              {absl::StrCat("ReduceScatter ", static_cast<int>(type), static_cast<int>(operation)),
               const_cast<void*>(all), part, count * SizeOf(type), count, type, operation, 0},
              stream);
}

Status FakeNccl::AllGather(Channel channel, const void* part, void* all, int64_t part_bytes, Stream& stream) {
  FakeNcclFabric::Call call;
  call.kind = "AllGather";
  call.from = const_cast<void*>(part);
  call.to = all;
  call.bytes = part_bytes;
  return Meet(channel, call, stream);
}

Status FakeNccl::Broadcast(Channel channel, void* data, int64_t bytes, int root, Stream& stream) {
  FakeNcclFabric::Call call;
  call.kind = absl::StrCat("Broadcast ", root);
  call.from = call.to = data;
  call.bytes = bytes;
  call.root = root;
  return Meet(channel, call, stream);
}

Status FakeNccl::SendReceive(Channel channel, const void* sent, int64_t sent_bytes, int to, void* received,
                             int64_t received_bytes, int from, Stream& stream) {
  Fabric::Channel* of = Of(channel);
  CHECK(!stream.is_inline());
  stream.Enqueue([=] {
    std::unique_lock<std::mutex> lock(fabric_.mutex_);
    auto& mail = of->group->mail;
    if (to >= 0) mail[{of->rank, to}].emplace_back(static_cast<const char*>(sent), sent_bytes);
    fabric_.changed_.notify_all();
    if (from < 0) return;
    auto& box = mail[{from, of->rank}];
    fabric_.changed_.wait(lock, [&] {
      return of->aborted || (!box.empty() && static_cast<int64_t>(box.front().size()) == received_bytes);
    });
    if (of->aborted) return;
    Copy(received, box.front().data(), received_bytes);
    box.pop_front();
  });
  return absl::OkStatus();
}

void FakeNccl::Abort(Channel channel) {
  std::lock_guard<std::mutex> lock(fabric_.mutex_);
  Of(channel)->aborted = true;
  Of(channel)->destroyed = true;
  fabric_.changed_.notify_all();
}

void FakeNccl::Destroy(Channel channel) {
  std::lock_guard<std::mutex> lock(fabric_.mutex_);
  Of(channel)->destroyed = true;
}

StatusOr<std::shared_ptr<void>> FakeNccl::NewSharedMemory(size_t bytes) {
  return std::shared_ptr<void>(std::make_unique<int64_t[]>((bytes + 7) / 8).release(),
                               [](void* p) { delete[] static_cast<int64_t*>(p); });
}

}  // namespace trireme::testing

// NCCL as far as our communicator sees it, between threads of a test and on CPU streams: channels get ready when all
// ranks are there, operations wait on the stream until all ranks are in them, and what does not fit together never
// ends. An abort ends the waits of its own rank only.
//
// Not for inline streams: as with NCCL a call must return before its operation is done.
#ifndef TRIREME_TESTS_PARALLEL_TESTING_FAKE_NCCL_H_
#define TRIREME_TESTS_PARALLEL_TESTING_FAKE_NCCL_H_

#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/communicator/nccl/nccl_library.h"

namespace trireme::testing {

// What the ranks share.
class FakeNcclFabric {
 public:
  struct Call {
    std::string kind;  // calls that meet have to agree in it
    void* from = nullptr;
    void* to = nullptr;
    int64_t bytes = 0;
    int64_t count = 0;
    DataType type = DataType::kUint8;
    ReduceOperation operation = ReduceOperation::kSum;
    int root = 0;
  };
  struct Meeting {
    std::map<int, Call> calls;
    bool done = false;
  };
  struct Channel;
  // By the parent's ranks.
  struct Split {
    std::map<int, int> places;  // negative: no part
    std::map<int, int> owners;
    std::map<int, Channel*> made;  // once all have asked
  };
  struct Group {
    int size = 0;
    int joined = 0;
    std::map<int64_t, Meeting> meetings;  // by number
    std::map<std::pair<int, int>, std::deque<std::string>> mail;
    std::map<int, Split> splits;  // by number
  };
  struct Channel {
    Group* group = nullptr;
    int rank = 0;
    int of = 0;  // the rank of whoever made it, in the first group
    int64_t calls = 0;
    int splits = 0;
    Split* splitting = nullptr;
    void** split_to = nullptr;
    bool aborted = false, destroyed = false;
    Status error;
  };

  // Makes IsReady of all channels of a rank fail, as NCCL does when a peer is gone.
  void Break(int rank, const Status& error);
  int num_aborted(int rank) const;

 private:
  friend class FakeNccl;
  Channel* NewChannel(Group* group, int rank, int of);
  void Perform(Split* split);
  void Perform(Group* group, Meeting* meeting);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Group*> groups_;
  std::list<Group> all_groups_;
  std::list<Channel> channels_;
};

// One rank's.
class FakeNccl : public NcclLibrary {
 public:
  FakeNccl(FakeNcclFabric& fabric, int rank) : fabric_(fabric), rank_(rank), gpu_(absl::StrCat("gpu ", rank)) {}

  void set_gpu(const std::string& gpu) { gpu_ = gpu; }
  void set_version(const std::string& version) { version_ = version; }

  DeviceKind device_kind() const override { return DeviceKind::kCpu; }
  StatusOr<std::string> NewId() override { return std::string("id\0with zeros", 13); }
  StatusOr<Gpu> GpuOfThisThread() override { return Gpu{gpu_, gpu_ + " for people"}; }
  std::string version() override { return version_; }
  Status Join(const std::string& id, int rank, int size, Channel* channel) override;
  Status Split(Channel parent, int place, Channel* child) override;
  StatusOr<bool> IsReady(Channel channel) override;
  Status AllReduce(Channel channel, void* data, int64_t count, DataType type, ReduceOperation operation,
                   Stream& stream) override;
  Status ReduceScatter(Channel channel, const void* all, void* part, int64_t count, DataType type,
                       ReduceOperation operation, Stream& stream) override;
  Status AllGather(Channel channel, const void* part, void* all, int64_t part_bytes, Stream& stream) override;
  Status Broadcast(Channel channel, void* data, int64_t bytes, int root, Stream& stream) override;
  Status SendReceive(Channel channel, const void* sent, int64_t sent_bytes, int to, void* received,
                     int64_t received_bytes, int from, Stream& stream) override;
  void Abort(Channel channel) override;
  void Destroy(Channel channel) override;
  StatusOr<std::shared_ptr<void>> NewSharedMemory(size_t bytes) override;
  StatusOr<std::shared_ptr<void>> NewDeviceMemory(size_t bytes) override { return NewSharedMemory(bytes); }

 private:
  Status Meet(Channel channel, const FakeNcclFabric::Call& call, Stream& stream);

  FakeNcclFabric& fabric_;
  const int rank_;
  std::string gpu_;
  std::string version_ = "2.0.0";
};

}  // namespace trireme::testing

#endif  // TRIREME_TESTS_PARALLEL_TESTING_FAKE_NCCL_H_

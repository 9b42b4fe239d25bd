#include "tests/core/testing/fake_job.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

namespace trireme::testing {
namespace {

struct Meeting {
  explicit Meeting(int size) : tensors(size) {}

  // Returns when all ranks are here, or one has given up.
  Status Meet() {
    std::unique_lock<std::mutex> lock(mutex);
    if (!fault.ok()) return fault;
    const int64_t mine = generation;
    if (++arrived == static_cast<int>(tensors.size())) {
      arrived = 0;
      ++generation;
      changed.notify_all();
    }
    changed.wait(lock, [&] { return generation != mine || !fault.ok(); });
    return generation != mine ? absl::OkStatus() : fault;
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Tensor> tensors;  // by rank
  int arrived = 0;
  int64_t generation = 0;
  Status fault;
};

template <class T>
void Combine(const std::vector<Tensor>& tensors, ReduceOperation operation, void* result) {
  T* out = static_cast<T*>(result);
  for (int64_t i = 0; i < tensors[0].size(); ++i) {
    T value = tensors[0].data<T>()[i];
    for (size_t rank = 1; rank < tensors.size(); ++rank) {
      const T other = tensors[rank].data<T>()[i];
      value = operation == ReduceOperation::kSum ? value + other : std::max(value, other);
    }
    out[i] = value;
  }
}

class FakeCommunicator : public Communicator {
 public:
  FakeCommunicator(std::shared_ptr<Meeting> meeting, int rank) : meeting_(std::move(meeting)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(meeting_->tensors.size()); }

  Status AllReduce(const Tensor& tensor, ReduceOperation operation, Stream&) override {
    return Exchange(tensor, [&](const std::vector<Tensor>& all, char* result) {
      if (tensor.type() == DataType::kInt32) {
        Combine<int32_t>(all, operation, result);
      } else {
        Combine<float>(all, operation, result);
      }
    });
  }
  Status ReduceScatter(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    return AllReduce(tensor, operation, stream);
  }
  Status AllGather(const Tensor& tensor, Stream&) override {
    return Exchange(tensor, [&](const std::vector<Tensor>& all, char* result) {
      const int64_t part = tensor.bytes() / size();
      for (int r = 0; r < size(); ++r) {
        if (part > 0) std::memcpy(result + r * part, static_cast<char*>(all[r].raw()) + r * part, part);
      }
    });
  }
  Status Broadcast(const Tensor& tensor, int root, Stream&) override {
    return Exchange(tensor, [&](const std::vector<Tensor>& all, char* result) {
      std::memcpy(result, all[root].raw(), tensor.bytes());
    });
  }
  Status Send(const Tensor&, int, Stream&) override { return CollectiveOnly(); }
  Status Receive(const Tensor&, int, Stream&) override { return CollectiveOnly(); }
  Status SendReceive(const Tensor&, int, const Tensor&, int, Stream&) override { return CollectiveOnly(); }
  Status Barrier(Stream&) override { return meeting_->Meet(); }
  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return CollectiveOnly(); }
  Status status() const override {
    std::lock_guard<std::mutex> lock(meeting_->mutex);
    return meeting_->fault;
  }
  void Abort(const Status& reason) override {
    std::lock_guard<std::mutex> lock(meeting_->mutex);
    if (meeting_->fault.ok()) meeting_->fault = Annotate(reason, absl::StrCat("rank ", rank_));
    meeting_->changed.notify_all();
  }
  int64_t bytes_sent() const override { return 0; }
  double busy_seconds() const override { return 0; }

 private:
  static Status CollectiveOnly() { return absl::UnimplementedError("the fake job has collective calls only"); }

  template <class F>
  Status Exchange(const Tensor& tensor, const F& combine) {
    meeting_->tensors[rank_] = tensor;
    const Status met = meeting_->Meet();
    if (!met.ok()) {
      meeting_->tensors[rank_] = Tensor();  // its device may end before the meeting does
      return met;
    }
    std::vector<char> result(tensor.bytes());
    combine(meeting_->tensors, result.data());
    TRIREME_RETURN_IF_ERROR(meeting_->Meet());
    meeting_->tensors[rank_] = Tensor();
    if (!result.empty()) std::memcpy(tensor.raw(), result.data(), result.size());
    return absl::OkStatus();
  }

  const std::shared_ptr<Meeting> meeting_;
  const int rank_;
};

}  // namespace

std::vector<Status> RunFakeJob(int world_size, const std::function<Status(Communicator& communicator)>& worker) {
  const auto meeting = std::make_shared<Meeting>(world_size);
  std::vector<Status> statuses(world_size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank) {
    threads.emplace_back([&, rank] {
      FakeCommunicator communicator(meeting, rank);
      statuses[rank] = worker(communicator);
      // One that was cancelled has agreed with the others to end, who may still be busy with it.
      const bool cancelled = statuses[rank].code() == absl::StatusCode::kCancelled;
      if (!statuses[rank].ok() && !cancelled) communicator.Abort(statuses[rank]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (Tensor& tensor : meeting->tensors) tensor = Tensor();
  return statuses;
}

}  // namespace trireme::testing

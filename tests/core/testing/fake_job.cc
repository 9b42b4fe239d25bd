#include "tests/core/testing/fake_job.h"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace trireme::testing {
namespace {

using Bytes = std::vector<char>;

struct Meeting {
  explicit Meeting(int size) : offers(size) {}

  // Returns when all ranks are here, or one has given up.
  Status Meet() {
    std::unique_lock<std::mutex> lock(mutex);
    if (!fault.ok()) return fault;
    const int64_t mine = generation;
    if (++arrived == static_cast<int>(offers.size())) {
      arrived = 0;
      ++generation;
      changed.notify_all();
    }
    changed.wait(lock, [&] { return generation != mine || !fault.ok(); });
    return generation != mine ? absl::OkStatus() : fault;
  }

  std::mutex mutex;
  std::condition_variable changed;
  // By rank: copies, so that a rank that gives up takes nothing with it.
  std::vector<std::shared_ptr<const Bytes>> offers;
  int arrived = 0;
  int64_t generation = 0;
  Status fault;
};

using Offers = std::vector<std::shared_ptr<const Bytes>>;

template <class T>
void Combine(const Offers& offers, ReduceOperation operation, Bytes* result) {
  const auto at = [&](size_t rank, size_t i) { return reinterpret_cast<const T*>(offers[rank]->data())[i]; };
  T* out = reinterpret_cast<T*>(result->data());
  for (size_t i = 0; i < result->size() / sizeof(T); ++i) {
    T value = at(0, i);
    for (size_t rank = 1; rank < offers.size(); ++rank) {
      value = operation == ReduceOperation::kSum ? value + at(rank, i) : std::max(value, at(rank, i));
    }
    out[i] = value;
  }
}

class FakeCommunicator : public Communicator {
 public:
  FakeCommunicator(std::shared_ptr<Meeting> meeting, int rank) : meeting_(std::move(meeting)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(meeting_->offers.size()); }

  Status AllReduce(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    return Exchange(tensor, stream, [type = tensor.type(), operation](const Offers& offers, Bytes* result) {
      if (type == DataType::kInt32) {
        Combine<int32_t>(offers, operation, result);
      } else if (type == DataType::kFloat64) {
        Combine<double>(offers, operation, result);
      } else {
        CHECK(type == DataType::kFloat32) << DataTypeName(type);
        Combine<float>(offers, operation, result);
      }
    });
  }
  Status ReduceScatter(const Tensor& tensor, ReduceOperation operation, Stream& stream) override {
    return AllReduce(tensor, operation, stream);
  }
  Status AllGather(const Tensor& tensor, Stream& stream) override {
    return Exchange(tensor, stream, [](const Offers& offers, Bytes* result) {
      const size_t part = result->size() / offers.size();
      for (size_t r = 0; r < offers.size(); ++r) {
        std::copy_n(offers[r]->begin() + r * part, part, result->begin() + r * part);
      }
    });
  }
  Status Broadcast(const Tensor& tensor, int root, Stream& stream) override {
    return Exchange(tensor, stream, [root](const Offers& offers, Bytes* result) { *result = *offers[root]; });
  }
  Status Send(const Tensor&, int, Stream&) override { return CollectiveOnly(); }
  Status Receive(const Tensor&, int, Stream&) override { return CollectiveOnly(); }
  Status SendReceive(const Tensor&, int, const Tensor&, int, Stream&) override { return CollectiveOnly(); }
  Status Barrier(Stream& stream) override {
    if (stream.is_inline()) return meeting_->Meet();
    stream.Enqueue([this] { meeting_->Meet().IgnoreError(); });
    return status();
  }
  bool can_capture() const override { return true; }
  StatusOr<std::unique_ptr<Communicator>> Duplicate() override { return CollectiveOnly(); }
  StatusOr<std::unique_ptr<Communicator>> Subset(const std::vector<int>&) override { return CollectiveOnly(); }
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

  using CombineFunction = std::function<void(const Offers& offers, Bytes* result)>;

  Status Exchange(const Tensor& tensor, Stream& stream, const CombineFunction& combine) {
    if (stream.is_inline()) return ExchangeNow(tensor, combine);
    // A fault is the meeting's, and shows in status().
    stream.Enqueue([this, tensor, combine] { ExchangeNow(tensor, combine).IgnoreError(); });
    return status();
  }

  Status ExchangeNow(const Tensor& tensor, const CombineFunction& combine) {
    const char* begin = static_cast<const char*>(tensor.raw());
    meeting_->offers[rank_] = std::make_shared<const Bytes>(begin, begin + tensor.bytes());
    TRIREME_RETURN_IF_ERROR(meeting_->Meet());
    Bytes result(tensor.bytes());
    combine(meeting_->offers, &result);
    TRIREME_RETURN_IF_ERROR(meeting_->Meet());
    std::copy(result.begin(), result.end(), static_cast<char*>(tensor.raw()));
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
  return statuses;
}

}  // namespace trireme::testing

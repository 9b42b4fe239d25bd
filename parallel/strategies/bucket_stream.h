// Sums gradients over workers bucket by bucket, while the backward pass goes on: what strategies have in common that
// reduce buckets.
//
// Buckets start in one order on all workers: bucket k once its gradients and those of all buckets before it are
// complete. They run on a stream and a communicator of their own. FinishNext takes them in the same order.
//
// Used by the worker's thread. The arena outlives it, and so does all that the reduction refers to.
#ifndef TRIREME_PARALLEL_STRATEGIES_BUCKET_STREAM_H_
#define TRIREME_PARALLEL_STRATEGIES_BUCKET_STREAM_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/gradient_guard.h"
#include "core/nn/parameter_arena.h"
#include "parallel/strategies/buckets.h"
#include "parallel/strategies/buckets.pb.h"
#include "parallel/strategies/compression.h"

namespace trireme {

// InvalidArgument for sizes that make no sense.
Status CheckBuckets(const BucketConfig& config);

// Where a strategy keeps the gradients of buckets, if not in the arena.
class BucketStorage {
 public:
  virtual ~BucketStorage() = default;
  // Bucket k's gradients, complete in order of the compute stream, to be reduced in place. Buckets are asked for one
  // after the other.
  virtual Tensor BeginReduction(int k) = 0;
  // They have been reduced, in order of `stream`.
  virtual void EndReduction(int k, const Tensor& gradients, Stream& stream) = 0;
};

class BucketStream {
 public:
  // Works on a bucket's elements in place, with all workers, in order of the stream: sums its gradients (all of them,
  // or this worker's part), or gathers its values. Gradients are of type_on_the_wire(), values float32.
  using Collective = std::function<Status(Communicator& communicator, const Tensor& elements, Stream& stream)>;

  // `owner` is the strategy's key, for messages. CheckBuckets(config) has to be OK. Buckets begin and end at multiples
  // of `alignment` (see AlignBuckets); 1: with their parameters. Null `storage`: gradients are in the arena.
  BucketStream(std::string owner, const BucketConfig& config, const ParameterArena& arena, Collective reduce,
               int64_t alignment = 1, BucketStorage* storage = nullptr);
  // A step that ended half-way is a fault: then the job is aborted, so that the stream does not wait for peers.
  ~BucketStream();
  BucketStream(const BucketStream&) = delete;
  BucketStream& operator=(const BucketStream&) = delete;

  // Collective. Buckets use a duplicate of `communicator`. `may_skip` as Strategy::BuildArgs has it.
  Status Setup(Communicator& communicator, bool may_skip);

  void BeginStep(int64_t step);
  void OnGradientReady(int index);

  // All gradients have been reported. Starts what has not started.
  void LaunchRest();
  // Later work of the compute stream comes after the next bucket. A fault names the rank, the bucket and the step.
  Status FinishNext();
  // Later work of the compute stream comes after bucket k, which was launched. A fault is left to FinishNext.
  void WaitFor(int k);

  // In each step whose update waits for the guard (GradientGuard::waits_for_all), when that has decided: for what is
  // kept from this step for the next.
  void Decided(const GradientGuard& guard);

  // For strategies whose workers update a part of each bucket: gathers the values of bucket k, behind what the compute
  // stream has been given so far.
  void LaunchGather(int k, const Collective& gather);
  // Later work of the compute stream comes after all of them. Faults as of FinishNext.
  Status FinishGathers();

  // float32, or with compression a 16-bit type.
  DataType type_on_the_wire() const { return type_on_the_wire_; }
  // See Strategy::State.
  std::vector<std::pair<std::string, Tensor>> KeptState() const;

  const BucketPlan& plan() const { return plan_; }
  const std::vector<Bucket>& buckets() const { return plan_.buckets; }
  // See Strategy::schedule and Strategy::UnderWay.
  std::vector<std::string> schedule() const;
  std::string UnderWay() const;
  // Seconds since BeginStep that this worker has waited for buckets.
  double exposed_seconds() const { return exposed_seconds_; }
  // Seconds of the last step in which the stream reduced and gathered buckets, where its work is the host's (CPU); else
  // 0. Waiting for peers that are late is part of it.
  double communication_seconds() const { return communication_nanoseconds_.load(std::memory_order_relaxed) * 1e-9; }

 private:
  struct State {
    std::unique_ptr<Event> done;
    Status status;
    Status gathered;
  };

  int num_buckets() const { return static_cast<int>(plan_.buckets.size()); }
  void LaunchReady();
  void Launch(int k);
  Status ReduceBucket(int k, const Tensor& gradients);
  // `work` in the stream, behind what the compute stream has been given; its fault, whenever it is met, is *status.
  // Where the stream's work is the host's, *num_done counts it if it ends well.
  void RunBeside(const std::function<Status()>& work, Status* status, std::atomic<int>* num_done = nullptr);
  void WaitFor(Event& done, int bucket);
  Status Named(const Status& status, const char* what, int k) const;

  const std::string owner_;
  const bool overlap_;
  const DataType type_on_the_wire_;
  const ParameterArena& arena_;
  Device& device_;
  Stream& compute_;
  const Collective reduce_;
  BucketStorage* const storage_;
  const BucketPlan plan_;
  BucketProgress progress_;  // takes a bucket when it is launched
  std::vector<State> states_;
  int64_t step_ = 0;
  int next_to_finish_ = 0;
  std::vector<int> gathering_;  // buckets
  double exposed_seconds_ = 0;
  std::unique_ptr<Event> ready_, gathered_;
  std::unique_ptr<GradientCompression> compression_;  // null where gradients travel as they are
  std::atomic<int64_t> communication_nanoseconds_{0};
  std::atomic<int> num_reduced_{0};              // buckets of this step, where the stream's work is the host's
  std::chrono::steady_clock::time_point began_;  // what the stream does at present; the stream's own
  std::unique_ptr<Communicator> communicator_;
  // The last member: its work refers to all others and ends when it is destroyed.
  std::unique_ptr<Stream> stream_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_BUCKET_STREAM_H_

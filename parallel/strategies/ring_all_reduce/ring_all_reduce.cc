// "strategy/ring_all_reduce": every worker holds all parameters and updates all
// of them; the gradients are summed by a ring of our own (see ring.h), bucket
// by bucket, while the backward pass goes on.
//
// Buckets start in one order on all workers: bucket k once its gradients and
// those of all buckets before it are complete. They run on a stream and a
// communicator of their own. Step takes them in the same order and updates each
// bucket's range of the arena while the later ones are still under way, unless
// the guard wants to see them all first.
#include <chrono>

#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "parallel/strategies/buckets.h"
#include "parallel/strategies/publish.h"
#include "parallel/strategies/ring_all_reduce/ring.h"
#include "parallel/strategies/ring_all_reduce/ring_all_reduce.pb.h"

namespace trireme {
namespace {

// What two threads hand over at once. Smaller pieces stay in the cache but wake the peer more often: 64 MiB over two
// threads took 13 ms in pieces of 4 MiB, 15 ms in pieces of 1 MiB or whole, 42 ms in pieces of 64 KiB (two Zen 3
// cores).
constexpr int64_t kPieceBytes = int64_t{4} << 20;

class RingAllReduceStrategy : public Strategy {
 public:
  RingAllReduceStrategy(const RingAllReduceConfig& config, const BuildArgs& args)
      : args_(args),
        overlap_(config.overlap()),
        device_(args.arena->device()),
        compute_(device_.compute_stream()),
        plan_(PlanBuckets(*args.arena, static_cast<int64_t>(config.first_bucket_mb() * (1 << 20)),
                          static_cast<int64_t>(config.bucket_mb() * (1 << 20)))),
        states_(plan_.buckets.size()) {}

  ~RingAllReduceStrategy() override {
    // Only a fault ends a step half-way; then the stream must not wait for
    // peers when it is destroyed.
    if (communicator_ != nullptr && next_to_finish_ < next_to_launch_) {
      communicator_->Abort(absl::CancelledError(absl::StrCat("stopped in the middle of step ", step_)));
    }
  }

  Status Setup() override {
    TRIREME_RETURN_IF_ERROR(PublishParameters(*args_.arena, *args_.communicator));
    TRIREME_ASSIGN_OR_RETURN(communicator_, args_.communicator->Duplicate());
    scratch_ = Tensor::Empty(device_, {kPieceBytes / static_cast<int64_t>(sizeof(float))}, DataType::kFloat32,
                             MemoryKind::kGradients);
    for (State& state : states_) {
      state.ready = device_.NewEvent();
      state.done = device_.NewEvent();
    }
    stream_ = device_.NewStream("comm");
    return absl::OkStatus();
  }

  void BeginStep(int64_t step) override {
    step_ = step;
    next_to_launch_ = 0;
    next_to_finish_ = 0;
    for (size_t k = 0; k < states_.size(); ++k) states_[k].pending = plan_.buckets[k].num_trained;
  }

  void OnGradientReady(int index) override {
    const int bucket = plan_.bucket_of[index];
    if (bucket < 0) return;
    CHECK_GT(states_[bucket].pending, 0) << args_.arena->parameters()[index]->name << " is reported twice in a step";
    --states_[bucket].pending;
    if (overlap_) LaunchReady();
  }

  Status Step(GradientGuard& guard) override {
    LaunchReady();
    CHECK_EQ(next_to_launch_, num_buckets()) << "not all gradients were reported before Step";
    exposed_seconds_ = 0;
    while (next_to_finish_ < num_buckets()) {
      const Bucket& bucket = plan_.buckets[next_to_finish_];
      TRIREME_RETURN_IF_ERROR(FinishNext());
      if (guard.waits_for_all()) {
        guard.Inspect(bucket.begin, bucket.end, compute_);
      } else {
        args_.optimizer->Update(bucket.begin, bucket.end, guard.control(), compute_);
      }
    }
    if (!guard.waits_for_all()) return absl::OkStatus();
    // The ring gives all ranks the same sums.
    TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/true, compute_));
    for (const Bucket& bucket : plan_.buckets) {
      args_.optimizer->Update(bucket.begin, bucket.end, guard.control(), compute_);
    }
    return absl::OkStatus();
  }

  bool synchronous() const override { return true; }
  double exposed_communication_seconds() const override { return exposed_seconds_; }

 private:
  struct State {
    int pending = 0;  // gradients that are not complete
    std::unique_ptr<Event> ready, done;
    Status status;
  };

  int num_buckets() const { return static_cast<int>(plan_.buckets.size()); }

  // Later work of the compute stream comes after the next bucket.
  Status FinishNext() {
    const int k = next_to_finish_++;
    const auto start = std::chrono::steady_clock::now();
    compute_.Wait(*states_[k].done);
    exposed_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return Annotate(states_[k].status,
                    absl::StrCat("strategy/ring_all_reduce: rank ", communicator_->rank(), ", step ", step_,
                                 ", bucket ", k + 1, " of ", num_buckets(), " (", plan_.buckets[k].name, ")"));
  }

  void LaunchReady() {
    while (next_to_launch_ < num_buckets() && states_[next_to_launch_].pending == 0) Launch(next_to_launch_++);
  }

  void Launch(int k) {
    State& state = states_[k];
    const Bucket& bucket = plan_.buckets[k];
    compute_.Record(*state.ready);
    stream_->Wait(*state.ready);
    state.status =
        RingAllReduce(*communicator_, args_.arena->gradients().Flat(bucket.begin, bucket.end), scratch_, *stream_);
    // What goes wrong later, on the stream's own thread, belongs to the bucket
    // that it goes wrong in. Where the compute stream does not run at once,
    // Step does not wait for that: it shows in the communicator's status.
    if (compute_.is_inline() && state.status.ok()) {
      stream_->Enqueue([this, &state] { state.status = communicator_->status(); });
    }
    stream_->Record(*state.done);
  }

  const BuildArgs args_;
  const bool overlap_;
  Device& device_;
  Stream& compute_;
  const BucketPlan plan_;
  std::vector<State> states_;
  int64_t step_ = 0;
  int next_to_launch_ = 0;
  int next_to_finish_ = 0;
  double exposed_seconds_ = 0;
  Tensor scratch_;
  std::unique_ptr<Communicator> communicator_;
  // The last member: its work refers to all others and ends when it is
  // destroyed.
  std::unique_ptr<Stream> stream_;
};

StatusOr<std::unique_ptr<Strategy>> MakeRingAllReduce(const RingAllReduceConfig& config,
                                                      const Strategy::BuildArgs& args) {
  for (const auto& [name, value] :
       {std::make_pair("bucket_mb", config.bucket_mb()), std::make_pair("first_bucket_mb", config.first_bucket_mb())}) {
    if (!(value >= 0 && value <= 1 << 20)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, "; it has to be between 0 and ", 1 << 20));
    }
  }
  return std::unique_ptr<Strategy>(std::make_unique<RingAllReduceStrategy>(config, args));
}

TRIREME_REGISTER_COMPONENT("strategy/ring_all_reduce", Strategy, RingAllReduceConfig, MakeRingAllReduce);

}  // namespace
}  // namespace trireme

#include "parallel/strategies/bucket_stream.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "core/device/stream_span.h"

namespace trireme {
namespace {

int64_t Bytes(double megabytes) { return static_cast<int64_t>(megabytes * (1 << 20)); }

BucketPlan Plan(const ParameterArena& arena, const BucketConfig& config, int64_t alignment) {
  BucketPlan plan = PlanBuckets(arena, Bytes(config.first_size_mb()), Bytes(config.size_mb()));
  CHECK_EQ(arena.size() % alignment, 0);
  if (alignment > 1) AlignBuckets(alignment, &plan);
  return plan;
}

}  // namespace

Status CheckBuckets(const BucketConfig& config) {
  for (const auto& [name, value] : {std::make_pair("buckets.size_mb", config.size_mb()),
                                    std::make_pair("buckets.first_size_mb", config.first_size_mb())}) {
    if (!(value >= 0 && value <= 1 << 20)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, "; it has to be between 0 and ", 1 << 20));
    }
  }
  return absl::OkStatus();
}

BucketStream::BucketStream(std::string owner, const BucketConfig& config, const ParameterArena& arena,
                           Collective reduce, int64_t alignment, BucketStorage* storage)
    : owner_(std::move(owner)),
      overlap_(config.overlap()),
      type_on_the_wire_(TypeOnTheWire(config)),
      arena_(arena),
      device_(arena.device()),
      compute_(device_.compute_stream()),
      reduce_(std::move(reduce)),
      storage_(storage),
      plan_(Plan(arena, config, alignment)),
      progress_(arena, plan_),
      states_(plan_.buckets.size()) {}

BucketStream::~BucketStream() {
  if (communicator_ != nullptr && (next_to_finish_ < progress_.num_taken() || !gathering_.empty())) {
    communicator_->Abort(absl::CancelledError(absl::StrCat("stopped in the middle of step ", step_)));
  }
}

Status BucketStream::Setup(Communicator& communicator, bool may_skip) {
  TRIREME_ASSIGN_OR_RETURN(communicator_, communicator.Duplicate());
  for (State& state : states_) state.done = device_.NewEvent();
  if (type_on_the_wire_ != DataType::kFloat32 && communicator.size() > 1) {
    int64_t longest = 0;
    for (const Bucket& bucket : plan_.buckets) longest = std::max(longest, bucket.end - bucket.begin);
    compression_ = std::make_unique<GradientCompression>(arena_, type_on_the_wire_, longest, may_skip);
  }
  ready_ = device_.NewEvent();
  gathered_ = device_.NewEvent();
  stream_ = device_.NewStream("comm");
  return absl::OkStatus();
}

std::vector<std::string> BucketStream::schedule() const {
  std::vector<std::string> lines;
  for (const Bucket& bucket : plan_.buckets) {
    lines.push_back(absl::StrCat("a bucket from ", bucket.name, ", elements ", bucket.begin, " to ", bucket.end, " in ",
                                 DataTypeName(type_on_the_wire_)));
  }
  return lines;
}

std::string BucketStream::UnderWay() const {
  const int next = compute_.is_inline() ? num_reduced_.load(std::memory_order_relaxed) : next_to_finish_;
  return BucketUnderWay(plan_, next, next < progress_.num_taken());
}

void BucketStream::BeginStep(int64_t step) {
  step_ = step;
  progress_.BeginStep();
  next_to_finish_ = 0;
  gathering_.clear();
  exposed_seconds_ = 0;
  communication_nanoseconds_.store(0, std::memory_order_relaxed);
  num_reduced_.store(0, std::memory_order_relaxed);
}

void BucketStream::OnGradientReady(int index) {
  progress_.OnGradientReady(index);
  if (overlap_) LaunchReady();
}

void BucketStream::LaunchRest() {
  LaunchReady();
  progress_.CheckAllTaken();
}

Status BucketStream::FinishNext() {
  const int k = next_to_finish_++;
  WaitFor(*states_[k].done, k);
  return Named(states_[k].status, "", k);
}

void BucketStream::Decided(const GradientGuard& guard) {
  if (compression_ != nullptr) compression_->Decided(guard, compute_);
}

void BucketStream::LaunchGather(int k, const Collective& gather) {
  const Bucket& bucket = plan_.buckets[k];
  const Tensor values = arena_.values().Flat(bucket.begin, bucket.end);
  gathering_.push_back(k);
  RunBeside(
      [&] {
        const StreamSpan span(*stream_, TraceKind::kCommunication, "gather bucket", k + 1, values.bytes());
        return gather(*communicator_, values, *stream_);
      },
      &states_[k].gathered);
}

Status BucketStream::FinishGathers() {
  if (gathering_.empty()) return absl::OkStatus();
  stream_->Record(*gathered_);
  WaitFor(*gathered_, gathering_.back());
  const std::vector<int> finished = std::move(gathering_);
  gathering_.clear();
  for (const int k : finished) TRIREME_RETURN_IF_ERROR(Named(states_[k].gathered, "values of ", k));
  return absl::OkStatus();
}

void BucketStream::WaitFor(int k) {
  CHECK_LT(k, progress_.num_taken());
  WaitFor(*states_[k].done, k);
}

void BucketStream::WaitFor(Event& done, int bucket) {
  const auto start = std::chrono::steady_clock::now();
  const TraceSpan span(TraceKind::kWait, "wait for bucket", bucket + 1);
  compute_.Wait(done);
  exposed_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Status BucketStream::Named(const Status& status, const char* what, int k) const {
  return Annotate(status, absl::StrCat(owner_, ": rank ", communicator_->rank(), ", step ", step_, ", ", what,
                                       "bucket ", k + 1, " of ", num_buckets(), " (", plan_.buckets[k].name, ")"));
}

void BucketStream::LaunchReady() {
  for (int k = progress_.TakeComplete(); k >= 0; k = progress_.TakeComplete()) Launch(k);
}

void BucketStream::Launch(int k) {
  State& state = states_[k];
  const Tensor gradients = storage_ != nullptr ? storage_->BeginReduction(k)
                                               : arena_.gradients().Flat(plan_.buckets[k].begin, plan_.buckets[k].end);
  RunBeside([&] { return ReduceBucket(k, gradients); }, &state.status, &num_reduced_);
  stream_->Record(*state.done);
}

Status BucketStream::ReduceBucket(int k, const Tensor& gradients) {
  const Tensor elements =
      compression_ != nullptr ? compression_->Compress(plan_.buckets[k].begin, gradients, *stream_) : gradients;
  {
    const StreamSpan span(*stream_, TraceKind::kCommunication, "reduce bucket", k + 1, elements.bytes());
    TRIREME_RETURN_IF_ERROR(reduce_(*communicator_, elements, *stream_));
  }
  if (compression_ != nullptr) compression_->Expand(elements, gradients, *stream_);
  if (storage_ != nullptr) storage_->EndReduction(k, gradients, *stream_);
  return absl::OkStatus();
}

std::vector<std::pair<std::string, Tensor>> BucketStream::KeptState() const {
  if (compression_ == nullptr) return {};
  return compression_->State();
}

void BucketStream::RunBeside(const std::function<Status()>& work, Status* status, std::atomic<int>* num_done) {
  compute_.Record(*ready_);
  stream_->Wait(*ready_);
  const bool on_host = compute_.is_inline();
  if (on_host) stream_->Enqueue([this] { began_ = std::chrono::steady_clock::now(); });
  *status = work();
  // What goes wrong later, on the stream's own thread, belongs to the bucket that it goes wrong in. Where the compute
  // stream does not run at once, nobody waits for that: it shows in the communicator's status.
  if (on_host && status->ok()) {
    stream_->Enqueue([this, status, num_done] {
      const auto spent = std::chrono::steady_clock::now() - began_;
      communication_nanoseconds_.fetch_add(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count(),
                                           std::memory_order_relaxed);
      *status = communicator_->status();
      if (num_done != nullptr && status->ok()) num_done->fetch_add(1, std::memory_order_relaxed);
    });
  }
}

}  // namespace trireme

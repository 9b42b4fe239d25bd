#include "parallel/strategies/parameter_server/shard_server.h"

#include <glog/logging.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "parallel/strategies/parameter_server/push_sum.h"

namespace trireme {
namespace {

// How often one that waits looks for a fault, which wakes nobody here.
constexpr auto kFaultCheck = std::chrono::milliseconds(20);
// Of the deadline. A worker that waits for this server's answer would find the server late, which knows better.
constexpr double kPatience = 0.8;

}  // namespace

ShardServer::ShardServer(const Options& options, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      clock_(static_cast<size_t>(options.workers), -1),
      arrived_(parts_.shard.parts.size(), 0) {
  CHECK_EQ(static_cast<int>(parts_.incoming.size()), options.workers);
}

void ShardServer::Open() {
  {
    Lock lock(mutex_);
    open_ = true;
  }
  changed_.notify_all();
}

Status ShardServer::ArrivePart(int worker, int64_t step, int part, Stream& stream) {
  if (options_.mode != ServerMode::kSync) return absl::OkStatus();
  {
    Lock lock(mutex_);
    TRIREME_RETURN_IF_ERROR(CheckStep(worker, step));
    CHECK_LT(arrived_[static_cast<size_t>(part)], options_.workers);
    if (++arrived_[static_cast<size_t>(part)] < options_.workers) return absl::OkStatus();
    step_ = step;
  }
  // Parts do not overlap: several may be summed at once, beside those that are still coming.
  Sum(part, stream);
  Lock lock(mutex_);
  if (++summed_ == static_cast<int>(arrived_.size())) {
    if (controls_ == options_.workers) UpdateFromSums(stream);
    changed_.notify_all();
  }
  return absl::OkStatus();
}

Status ShardServer::ArriveControl(int worker, int64_t step, const UpdateControl& control, Stream& stream) {
  Lock lock(mutex_);
  TRIREME_RETURN_IF_ERROR(Await(&lock, [&] { return open_; }));
  TRIREME_RETURN_IF_ERROR(CheckStep(worker, step));
  clock_[static_cast<size_t>(worker)] = step + 1;
  if (options_.mode != ServerMode::kSync) {
    UpdateFromPush(worker, control, stream);
    changed_.notify_all();
    return absl::OkStatus();
  }
  step_ = step;
  if (worker == 0) control_ = control;
  if (++controls_ == options_.workers && summed_ == static_cast<int>(arrived_.size())) {
    UpdateFromSums(stream);
    changed_.notify_all();
  }
  return absl::OkStatus();
}

Status ShardServer::AwaitSums(int64_t step) {
  CHECK(options_.mode == ServerMode::kSync);
  Lock lock(mutex_);
  // A shard without parts has no sums to wait for.
  if (arrived_.empty()) return absl::OkStatus();
  return Await(&lock, [&] { return step_ == step && summed_ == static_cast<int>(arrived_.size()); });
}

Status ShardServer::AwaitValues(int worker, int64_t step, const Tensor& to, Stream& stream) {
  Lock lock(mutex_);
  TRIREME_RETURN_IF_ERROR(Await(&lock, [&] {
    if (options_.mode == ServerMode::kSync) return updated_ >= step;
    return options_.mode == ServerMode::kAsync ||
           SlowestClock() >= clock_[static_cast<size_t>(worker)] - options_.staleness;
  }));
  if (to.raw() == values().raw()) return absl::OkStatus();
  for (const ShardPart& part : shard().parts) {
    const int64_t begin = part.begin - shard().begin, end = part.end - shard().begin;
    to.Flat(begin, end).CopyFrom(values().Flat(begin, end), stream);
  }
  stream.Synchronize();
  return absl::OkStatus();
}

std::string ShardServer::Describe() const {
  Lock lock(mutex_);
  return Missing();
}

std::string ShardServer::Missing() const {
  const int64_t slowest = SlowestClock();
  if (!open_) return "the server's rank has not begun";
  if (slowest < 0) return "before the first push";
  std::vector<int> behind;
  for (size_t worker = 0; worker < clock_.size(); ++worker) {
    if (clock_[worker] == slowest) behind.push_back(static_cast<int>(worker));
  }
  return absl::StrCat("step ", slowest, ": the push of worker", behind.size() == 1 ? " " : "s ",
                      absl::StrJoin(behind, ", "), " has not come");
}

Status ShardServer::Await(Lock* lock, const std::function<bool()>& ready) {
  const auto start = std::chrono::steady_clock::now();
  while (!ready()) {
    changed_.wait_for(*lock, kFaultCheck);
    if (ready()) break;
    TRIREME_RETURN_IF_ERROR(parts_.fault());
    const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (waited < kPatience * options_.timeout_seconds) continue;
    return absl::DeadlineExceededError(absl::StrCat(
        "waited ", absl::StrFormat("%.3g", waited), " s, ", Missing(),
        "; find out what keeps the worker, or raise timeout_seconds of the communicator if it is only slow"));
  }
  return absl::OkStatus();
}

Status ShardServer::CheckStep(int worker, int64_t step) {
  // All workers begin with the same step, whichever pushes first.
  if (clock_[0] < 0) std::fill(clock_.begin(), clock_.end(), step);
  const int64_t clock = clock_[static_cast<size_t>(worker)];
  if (step == clock) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("worker ", worker, " pushed for step ", step, " where step ", clock, " is the next"));
}

void ShardServer::Sum(int part, Stream& stream) {
  const ShardPart& of = shard().parts[static_cast<size_t>(part)];
  const int64_t begin = of.begin - shard().begin, end = of.end - shard().begin;
  std::vector<Tensor> sources;
  for (const Tensor& incoming : parts_.incoming) sources.push_back(incoming.Flat(begin, end));
  SumInOrder(sources, sums().Flat(begin, end), stream);
  stream.Synchronize();
}

void ShardServer::UpdateFromSums(Stream& stream) {
  if (options_.begins_updates) {
    parts_.optimizer->BeginStep(step_, parts_.schedule->LearningRate(step_), stream);
  }
  UpdateParts(control_, stream);
  updated_ = step_;
  summed_ = 0;
  controls_ = 0;
  std::fill(arrived_.begin(), arrived_.end(), 0);
}

void ShardServer::UpdateFromPush(int worker, const UpdateControl& control, Stream& stream) {
  const int64_t step = clock_[static_cast<size_t>(worker)] - 1;
  updates_ = updates_ < 0 ? step * options_.workers : updates_ + 1;
  const float rate = parts_.schedule->LearningRate(step) / static_cast<float>(options_.workers);
  parts_.optimizer->BeginStep(updates_, rate, stream);
  for (const ShardPart& part : shard().parts) {
    const int64_t begin = part.begin - shard().begin, end = part.end - shard().begin;
    sums().Flat(begin, end).CopyFrom(incoming(worker).Flat(begin, end), stream);
  }
  UpdateParts(control, stream);
}

void ShardServer::UpdateParts(const UpdateControl& control, Stream& stream) {
  for (const ShardPart& part : shard().parts) parts_.optimizer->Update(part.begin, part.end, control, stream);
  stream.Synchronize();
}

int64_t ShardServer::SlowestClock() const { return *std::min_element(clock_.begin(), clock_.end()); }

}  // namespace trireme

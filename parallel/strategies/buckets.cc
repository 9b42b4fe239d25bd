#include "parallel/strategies/buckets.h"

#include <glog/logging.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trireme {

BucketPlan PlanBuckets(const ParameterArena& arena, int64_t first_bucket_bytes, int64_t bucket_bytes) {
  BucketPlan plan;
  plan.bucket_of.assign(arena.parameters().size(), -1);
  bool open = false;
  for (auto it = arena.parameters().rbegin(); it != arena.parameters().rend(); ++it) {
    const Parameter& parameter = **it;
    if (!parameter.options.trainable) continue;
    if (!open) {
      plan.buckets.push_back({parameter.offset, parameter.offset + parameter.shape.size(), 0, parameter.name});
      open = true;
    }
    Bucket& bucket = plan.buckets.back();
    bucket.begin = parameter.offset;
    ++bucket.num_trained;
    if (bucket.num_trained == 2) bucket.name = absl::StrCat(parameter.name, " to ", bucket.name);
    if (bucket.num_trained > 2) {
      bucket.name = absl::StrCat(parameter.name, bucket.name.substr(bucket.name.find(" to ")));
    }
    plan.bucket_of[parameter.index] = static_cast<int>(plan.buckets.size()) - 1;
    const int64_t limit = plan.buckets.size() == 1 ? first_bucket_bytes : bucket_bytes;
    if ((bucket.end - bucket.begin) * static_cast<int64_t>(sizeof(float)) >= limit) open = false;
  }
  return plan;
}

std::string BucketUnderWay(const BucketPlan& plan, int next, bool begun) {
  const size_t count = plan.buckets.size(), k = static_cast<size_t>(next);
  if (k >= count) return absl::StrCat("behind bucket ", count, " of ", count);
  return absl::StrCat(begun ? "" : "before ", "bucket ", k + 1, " of ", count, " (", plan.buckets[k].name, ")");
}

BucketProgress::BucketProgress(const ParameterArena& arena, const BucketPlan& plan)
    : arena_(arena), plan_(plan), pending_(plan.buckets.size(), 0) {}

void BucketProgress::BeginStep() {
  num_taken_ = 0;
  for (size_t k = 0; k < pending_.size(); ++k) pending_[k] = plan_.buckets[k].num_trained;
}

void BucketProgress::OnGradientReady(int index) {
  const size_t parameter = static_cast<size_t>(index);
  const int bucket = plan_.bucket_of[parameter];
  if (bucket < 0) return;
  int& pending = pending_[static_cast<size_t>(bucket)];
  CHECK_GT(pending, 0) << arena_.parameters()[parameter]->name << " is reported twice in a step";
  --pending;
}

int BucketProgress::TakeComplete() {
  const size_t next = static_cast<size_t>(num_taken_);
  return next < pending_.size() && pending_[next] == 0 ? num_taken_++ : -1;
}

void BucketProgress::CheckAllTaken() const {
  CHECK_EQ(static_cast<size_t>(num_taken_), pending_.size()) << "not all gradients were reported before the step's end";
}

void AlignBuckets(int64_t alignment, BucketPlan* plan) {
  const auto round_up = [&](int64_t n) { return (n + alignment - 1) / alignment * alignment; };
  if (plan->buckets.empty()) return;
  int64_t end = round_up(plan->buckets.front().end);
  for (Bucket& bucket : plan->buckets) {
    const bool last = &bucket == &plan->buckets.back();
    bucket.begin = last ? bucket.begin / alignment * alignment : std::min(round_up(bucket.begin), end);
    bucket.end = end;
    end = bucket.begin;
  }
}

}  // namespace trireme

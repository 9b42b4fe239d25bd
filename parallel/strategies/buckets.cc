#include "parallel/strategies/buckets.h"

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

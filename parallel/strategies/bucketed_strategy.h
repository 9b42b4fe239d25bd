// What strategies have in common that reduce gradients with a BucketStream: all but how a bucket is reduced.
#ifndef TRIREME_PARALLEL_STRATEGIES_BUCKETED_STRATEGY_H_
#define TRIREME_PARALLEL_STRATEGIES_BUCKETED_STRATEGY_H_

#include <string>
#include <utility>
#include <vector>

#include "core/api/strategy.h"
#include "parallel/strategies/bucket_stream.h"

namespace trireme {

// Every worker holds all parameters, has all sums, and updates the whole arena, unless the strategy has a Setup and a
// Step of its own.
class BucketedStrategy : public Strategy {
 public:
  Status Setup() override;
  void BeginStep(int64_t step) override { buckets_.BeginStep(step); }
  void OnGradientReady(int index) override { buckets_.OnGradientReady(index); }
  // Updates each bucket's range as it arrives, or all after the guard has seen them.
  Status Step(GradientGuard& guard) override;
  bool synchronous() const override { return true; }
  std::vector<std::pair<std::string, Tensor>> State() const override { return buckets_.KeptState(); }
  std::vector<std::string> schedule() const override { return buckets_.schedule(); }
  std::string UnderWay() const override { return buckets_.UnderWay(); }
  double exposed_communication_seconds() const override { return buckets_.exposed_seconds(); }
  double communication_seconds() const override { return buckets_.communication_seconds(); }

 protected:
  // `buckets` is the strategy's own, and its last member: its stream's work refers to the others.
  BucketedStrategy(const BuildArgs& args, BucketStream& buckets) : args_(args), buckets_(buckets) {}

  const BuildArgs args_;

 private:
  BucketStream& buckets_;
};

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_BUCKETED_STRATEGY_H_

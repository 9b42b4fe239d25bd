// The synchronous strategies and their settings, as a config names them, for tests of what each of them has to do.
#ifndef TRIREME_TESTS_PARALLEL_STRATEGIES_SYNCHRONOUS_STRATEGIES_H_
#define TRIREME_TESTS_PARALLEL_STRATEGIES_SYNCHRONOUS_STRATEGIES_H_

#include <string>
#include <vector>

#include "core/api/strategy.h"
#include "core/base/registry.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"

namespace trireme {

// Those that `world` workers can have. `buckets` goes into each that has buckets; small ones, for several of a toy.
inline std::vector<std::string> SynchronousStrategies(
    int world, const std::string& buckets = "size_mb: 0.0005 first_size_mb: 0.0001") {
  std::vector<std::string> strategies = {
      absl::StrCat("[strategy/ring_all_reduce] { buckets { ", buckets, " } }"),
      absl::StrCat("[strategy/data_parallel] { buckets { ", buckets, " } }"),
      absl::StrCat("[strategy/data_parallel] { reduction: GATHER_TO_ONE buckets { ", buckets, " } }"),
      absl::StrCat("[strategy/hierarchical] { buckets { ", buckets, " } }"),
      absl::StrCat("[strategy/sharded] { buckets { ", buckets, " } }"),
      absl::StrCat("[strategy/sharded] { stage: 2 collectives: RING buckets { ", buckets, " } }"),
  };
  strategies.push_back(absl::StrCat("[strategy/parameter_server] { buckets { ", buckets, " } }"));
  strategies.push_back(absl::StrCat("[strategy/parameter_server] { num_servers: 1 buckets { ", buckets, " } }"));
  if (world == 1) strategies.push_back("[strategy/single] {}");
  if (world % 2 == 0) {
    strategies.push_back(absl::StrCat("[strategy/hierarchical] { workers_per_host: 2 buckets { ", buckets, " } }"));
  }
  return strategies;
}

// `text` as it stands behind `strategy` in a config.
inline StatusOr<std::unique_ptr<Strategy>> MakeStrategy(const std::string& text, const Strategy::BuildArgs& args) {
  Config config;
  TRIREME_RETURN_IF_ERROR(ParseText(absl::StrCat("strategy { ", text, " }"), "test", &config));
  return CreateComponent<Strategy>(config.strategy(), "strategy", args);
}

}  // namespace trireme

#endif  // TRIREME_TESTS_PARALLEL_STRATEGIES_SYNCHRONOUS_STRATEGIES_H_

// Which strategies a comparison runs, on how many workers.
#ifndef TRIREME_TOOLS_COMPARE_PLAN_H_
#define TRIREME_TOOLS_COMPARE_PLAN_H_

#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

struct Combination {
  std::string strategy;  // as a person writes it: "data_parallel { reduction: GATHER_TO_ONE }"
  int workers = 1;

  // As a config writes it: "[strategy/data_parallel] { reduction: GATHER_TO_ONE }".
  std::string ConfigText() const;
  // "data_parallel { reduction: GATHER_TO_ONE }, 2 workers"
  std::string Describe() const;
  bool operator==(const Combination& other) const { return strategy == other.strategy && workers == other.workers; }
};

// `strategies` is a list "ring_all_reduce,data_parallel{reduction: GATHER_TO_ONE}" whose commas inside braces are its
// own; "all" in it stands for every strategy that is registered, plugins' too, and the options of one that are worth a
// row of their own. `workers` is a list "1,2,4". One worker of strategy/single comes first: what all others are
// compared with. InvalidArgument for an unknown strategy, and for numbers that are none.
StatusOr<std::vector<Combination>> MakePlan(const std::string& strategies, const std::string& workers);

}  // namespace trireme

#endif  // TRIREME_TOOLS_COMPARE_PLAN_H_

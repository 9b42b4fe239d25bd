#include "tools/comparison/plan.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/registry.h"

namespace trireme {
namespace {

constexpr char kKind[] = "strategy/";
constexpr char kBaseline[] = "single";

StatusOr<std::vector<std::string>> SplitOutsideBraces(const std::string& text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    if (c == '{') ++depth;
    if (c == '}') --depth;
    if (depth < 0) break;
    if (c == ',' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (depth != 0) return absl::InvalidArgumentError(absl::StrCat("--strategies=", text, ": a brace has no partner"));
  for (std::string& part : parts) absl::StripAsciiWhitespace(&part);
  return parts;
}

std::string NameOf(const std::string& strategy) {
  return std::string(absl::StripAsciiWhitespace(strategy.substr(0, strategy.find('{'))));
}

std::vector<std::string> AllStrategies() {
  std::vector<std::string> all;
  for (const std::string& key : ComponentRegistry::Global().Keys("strategy")) {
    const std::string name(absl::StripPrefix(key, kKind));
    all.push_back(name);
    if (name == "data_parallel") all.push_back("data_parallel { reduction: GATHER_TO_ONE }");
    if (name == "parameter_server") all.push_back("parameter_server { mode: ASYNC }");
  }
  return all;
}

StatusOr<std::vector<std::string>> ParseStrategies(const std::string& text) {
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> parts, SplitOutsideBraces(text));
  std::vector<std::string> strategies;
  for (const std::string& part : parts) {
    if (part == "all") {
      const std::vector<std::string> all = AllStrategies();
      strategies.insert(strategies.end(), all.begin(), all.end());
      continue;
    }
    strategies.push_back(std::string(absl::StripPrefix(part, kKind)));
    TRIREME_RETURN_IF_ERROR(
        Annotate(ComponentRegistry::Global().Find(kKind + NameOf(strategies.back())).status(), "--strategies"));
  }
  return strategies;
}

StatusOr<std::vector<int>> ParseWorkers(const std::string& text) {
  std::vector<int> workers;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    int number = 0;
    if (!absl::SimpleAtoi(part, &number) || number < 1) {
      return absl::InvalidArgumentError(absl::StrCat("--workers=", text, ": \"", part,
                                                     "\" is no number of workers; say for example --workers=1,2,4"));
    }
    workers.push_back(number);
  }
  return workers;
}

}  // namespace

std::string Combination::ConfigText() const {
  const size_t brace = strategy.find('{');
  return absl::StrCat("[", kKind, NameOf(strategy), "] ", brace == std::string::npos ? "{}" : strategy.substr(brace));
}

std::string Combination::Describe() const {
  return absl::StrCat(strategy, ", ", workers, workers == 1 ? " worker" : " workers");
}

StatusOr<std::vector<Combination>> MakePlan(const std::string& strategies, const std::string& workers) {
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> names, ParseStrategies(strategies));
  TRIREME_ASSIGN_OR_RETURN(const std::vector<int> counts, ParseWorkers(workers));
  std::vector<Combination> plan = {{kBaseline, 1}};
  for (const std::string& name : names) {
    if (name == kBaseline) continue;
    for (const int count : counts) {
      const Combination combination = {name, count};
      if (std::find(plan.begin(), plan.end(), combination) == plan.end()) plan.push_back(combination);
    }
  }
  return plan;
}

}  // namespace trireme

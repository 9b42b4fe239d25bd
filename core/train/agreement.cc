#include "core/train/agreement.h"

#include <algorithm>

#include "absl/strings/str_split.h"
#include "core/base/hash.h"

namespace trireme {
namespace {

constexpr char kNone[] = "(none)";

// Names and values hold neither of these.
constexpr char kBetween = '\x1f', kEnd = '\x1e';

std::string Serialize(const std::vector<Fact>& facts) {
  std::string text;
  for (const Fact& fact : facts)
    absl::StrAppend(&text, fact.name, std::string(1, kBetween), fact.value, std::string(1, kEnd));
  return text;
}

std::vector<Fact> Parse(const std::string& text) {
  std::vector<Fact> facts;
  for (absl::string_view entry : absl::StrSplit(text, kEnd, absl::SkipEmpty())) {
    const std::vector<std::string> parts = absl::StrSplit(entry, absl::MaxSplits(kBetween, 1));
    facts.push_back({parts[0], parts.size() > 1 ? parts[1] : ""});
  }
  return facts;
}

std::string Find(const std::vector<Fact>& facts, const std::string& name) {
  const auto found = std::find_if(facts.begin(), facts.end(), [&](const Fact& fact) { return fact.name == name; });
  return found == facts.end() ? kNone : found->value;
}

Status Compare(const std::vector<Fact>& of_zero, const std::vector<Fact>& of_rank, int rank, const char* advice) {
  const auto differ = [rank, advice](const std::string& name, const std::string& zeros, const std::string& theirs) {
    return absl::FailedPreconditionError(absl::StrCat("the workers do not agree on ", name, ": it is ", zeros,
                                                      " on rank 0 and ", theirs, " on rank ", rank, "; ", advice));
  };
  for (const Fact& fact : of_zero) {
    const std::string theirs = Find(of_rank, fact.name);
    if (theirs != fact.value) return differ(fact.name, fact.value, theirs);
  }
  for (const Fact& fact : of_rank) {
    const std::string zeros = Find(of_zero, fact.name);
    if (zeros != fact.value) return differ(fact.name, zeros, fact.value);
  }
  // Only the order may be left.
  for (size_t i = 0; i < of_zero.size(); ++i) {
    if (of_zero[i].name != of_rank[i].name) {
      return differ(absl::StrCat("what comes at place ", i + 1), of_zero[i].name, of_rank[i].name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

Status AgreeOn(const std::vector<Fact>& facts, Communicator& communicator, Device& device, const char* advice) {
  const std::string mine = Serialize(facts);
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> hashes,
                           AllGatherStrings(communicator, absl::StrCat(absl::Hex(StableHash(mine))), device));
  if (std::all_of(hashes.begin(), hashes.end(), [&](const std::string& hash) { return hash == hashes[0]; })) {
    return absl::OkStatus();
  }
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> all, AllGatherStrings(communicator, mine, device));
  const std::vector<Fact> of_zero = Parse(all[0]);
  Status outcome;
  for (int rank = 1; rank < communicator.size() && outcome.ok(); ++rank) {
    outcome = Compare(of_zero, Parse(all[static_cast<size_t>(rank)]), rank, advice);
  }
  // Nobody ends, and takes the job down, before all know.
  TRIREME_RETURN_IF_ERROR(communicator.Barrier(device.compute_stream()));
  device.compute_stream().Synchronize();
  return outcome;
}

std::vector<Fact> FactsOf(const ParameterArena& arena) {
  std::vector<Fact> facts;
  for (const Parameter* parameter : arena.parameters()) {
    std::string value = parameter->shape.ToString();
    if (!parameter->options.trainable) absl::StrAppend(&value, ", frozen");
    facts.push_back({"the parameter " + parameter->name, value});
  }
  for (const Buffer* buffer : arena.buffers()) {
    facts.push_back({"the buffer " + buffer->name, buffer->shape.ToString()});
  }
  return facts;
}

std::vector<Fact> ValuesOf(const ParameterArena& arena) {
  std::string bytes(static_cast<size_t>(arena.values().bytes()), '\0');
  arena.values().CopyToHost(bytes.data());
  std::vector<Fact> facts;
  for (const Parameter* parameter : arena.parameters()) {
    const std::string values =
        bytes.substr(static_cast<size_t>(parameter->offset) * sizeof(float), parameter->shape.size() * sizeof(float));
    facts.push_back({"the values of " + parameter->name,
                     absl::StrCat("of hash ", absl::Hex(StableHash(values), absl::kZeroPad16))});
  }
  return facts;
}

std::vector<Fact> FactsOf(const Strategy& strategy) {
  std::vector<Fact> facts;
  for (const std::string& call : strategy.schedule()) {
    facts.push_back({absl::StrCat("call ", facts.size() + 1, " of the strategy in a step"), call});
  }
  return facts;
}

}  // namespace trireme

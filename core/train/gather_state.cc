#include "core/train/gather_state.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/json_text.h"

namespace trireme {
namespace {

constexpr int64_t kPiece = int64_t{4} << 20;  // elements

struct Range {
  int64_t begin = 0, end = 0;
};

// Which elements of an array have a source already.
class Coverage {
 public:
  // Those parts of the range that had none, in order; now they have.
  std::vector<Range> Take(Range range) {
    std::vector<Range> fresh;
    int64_t at = range.begin;
    auto next = taken_.upper_bound(at);
    if (next != taken_.begin()) at = std::max(at, std::prev(next)->second);
    for (; next != taken_.end() && next->first < range.end; ++next) {
      if (at < next->first) fresh.push_back({at, next->first});
      at = std::max(at, next->second);
    }
    if (at < range.end) fresh.push_back({at, range.end});
    for (const Range& part : fresh) taken_[part.begin] = part.end;
    return fresh;
  }

 private:
  std::map<int64_t, int64_t> taken_;  // end by begin
};

// An array that a rank has, or a part of one.
struct Holding {
  std::string name;
  Range range;
};

struct Inventory {
  std::vector<Holding> optimizer, strategy;
};

nlohmann::json ToJson(const std::vector<Holding>& holdings) {
  nlohmann::json json = nlohmann::json::array();
  for (const Holding& holding : holdings) json.push_back({holding.name, holding.range.begin, holding.range.end});
  return json;
}

std::vector<Holding> FromJson(const nlohmann::json& json) {
  std::vector<Holding> holdings;
  for (const auto& entry : json) holdings.push_back({entry[0], {entry[1], entry[2]}});
  return holdings;
}

// What each rank has.
StatusOr<std::vector<Inventory>> ExchangeInventories(const Inventory& mine, Communicator& communicator,
                                                     Device& device) {
  const nlohmann::json json = {{"optimizer", ToJson(mine.optimizer)}, {"strategy", ToJson(mine.strategy)}};
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                           AllGatherStrings(communicator, JsonText(json), device));
  std::vector<Inventory> all;
  for (const std::string& text : texts) {
    const nlohmann::json of_rank = nlohmann::json::parse(text);
    all.push_back({FromJson(of_rank["optimizer"]), FromJson(of_rank["strategy"])});
  }
  return all;
}

// Rank 0's side and the others' of bringing a part of an array over, in pieces.
class Transport {
 public:
  Transport(Communicator& communicator, Device& device) : communicator_(communicator), device_(device) {}

  // From `source`, whose tensor is `from` (undefined elsewhere), to `to` on rank 0.
  Status Move(int source, const Tensor& from, float* to, int64_t size) {
    const int rank = communicator_.rank();
    if (source == 0) {
      if (rank == 0) from.CopyToHost(to);
      return absl::OkStatus();
    }
    if (rank != source && rank != 0) return absl::OkStatus();
    Stream& stream = device_.compute_stream();
    for (int64_t begin = 0; begin < size; begin += kPiece) {
      const int64_t count = std::min(kPiece, size - begin);
      if (rank == source) {
        TRIREME_RETURN_IF_ERROR(communicator_.Send(from.Flat(begin, begin + count), 0, stream));
      } else {
        if (!incoming_.defined()) incoming_ = Tensor::Empty(device_, {kPiece});
        TRIREME_RETURN_IF_ERROR(communicator_.Receive(incoming_.Flat(0, count), source, stream));
        incoming_.Flat(0, count).CopyToHost(to + begin);
        if (!stream.is_inline()) TRIREME_RETURN_IF_ERROR(communicator_.status());
      }
    }
    return absl::OkStatus();
  }

 private:
  Communicator& communicator_;
  Device& device_;
  Tensor incoming_;
};

// The named array, of `size` zeros if it is not there yet.
std::vector<float>* FindOrAdd(const std::string& name, int64_t size, GatheredState::Arrays* arrays) {
  const auto found =
      std::find_if(arrays->begin(), arrays->end(), [&](const auto& array) { return array.first == name; });
  if (found != arrays->end()) return &found->second;
  arrays->emplace_back(name, std::vector<float>(static_cast<size_t>(size)));
  return &arrays->back().second;
}

}  // namespace

StatusOr<GatheredState> GatherState(const ParameterArena& arena, const Optimizer& optimizer, const Strategy& strategy,
                                    Communicator& communicator) {
  const int rank = communicator.rank();
  const std::vector<OptimizerState> of_optimizer = optimizer.State();
  const std::vector<std::pair<std::string, Tensor>> of_strategy = strategy.State();
  Inventory mine;
  for (const OptimizerState& state : of_optimizer) {
    mine.optimizer.push_back({state.name, {state.begin, state.begin + state.values.size()}});
  }
  for (const auto& [name, tensor] : of_strategy) mine.strategy.push_back({name, {0, tensor.size()}});
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Inventory> all, ExchangeInventories(mine, communicator, arena.device()));

  GatheredState gathered;
  Transport transport(communicator, arena.device());
  std::map<std::string, Coverage> coverage;
  for (int source = 0; source < communicator.size(); ++source) {
    const std::vector<Holding>& holdings = all[static_cast<size_t>(source)].optimizer;
    for (size_t i = 0; i < holdings.size(); ++i) {
      const Holding& holding = holdings[i];
      for (const Range& part : coverage[holding.name].Take(holding.range)) {
        Tensor from;
        if (rank == source) {
          from = of_optimizer[i].values.Flat(part.begin - holding.range.begin, part.end - holding.range.begin);
        }
        float* to = nullptr;
        if (rank == 0) to = FindOrAdd(holding.name, arena.size(), &gathered.optimizer)->data() + part.begin;
        TRIREME_RETURN_IF_ERROR(transport.Move(source, from, to, part.end - part.begin));
      }
    }
  }
  for (auto& [name, covered] : coverage) {
    for (const Parameter* parameter : arena.parameters()) {
      const Range range = {parameter->offset, parameter->offset + parameter->shape.size()};
      if (parameter->options.trainable && !covered.Take(range).empty()) {
        return absl::InternalError(absl::StrCat("no worker holds the optimizer's ", name, " of ", parameter->name));
      }
    }
  }
  if (rank == 0) gathered.strategy.resize(all.size());
  for (int source = 0; source < communicator.size(); ++source) {
    const std::vector<Holding>& holdings = all[static_cast<size_t>(source)].strategy;
    for (size_t i = 0; i < holdings.size(); ++i) {
      const int64_t size = holdings[i].range.end;
      float* to = nullptr;
      if (rank == 0) to = FindOrAdd(holdings[i].name, size, &gathered.strategy[static_cast<size_t>(source)])->data();
      TRIREME_RETURN_IF_ERROR(transport.Move(source, rank == source ? of_strategy[i].second : Tensor(), to, size));
    }
  }
  return gathered;
}

}  // namespace trireme

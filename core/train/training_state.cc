#include "core/train/training_state.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/train/array_lookup.h"
#include "core/train/checkpoint_folder.h"
#include "core/train/gather_state.h"

namespace trireme {
namespace {

constexpr char kRunPrefix[] = "run/";
constexpr char kBuffersPrefix[] = "buffers/";
constexpr char kStrategyPrefix[] = "strategy/";

std::string BuffersName(int rank) { return absl::StrCat(kBuffersPrefix, "rank", rank); }

std::string StrategyName(int rank, const std::string& name) {
  return absl::StrCat(kStrategyPrefix, "rank", rank, "/", name);
}

std::string StateName(const std::string& kind, const Parameter& parameter) {
  return absl::StrCat(kind, "/", parameter.name);
}

// Ranks from `workers` on only serve: their buffers are of no training, and would be those of a worker that a resumed
// run has more.
SafetensorsContent StateContent(const ParameterArena& arena, const RunState& run_state, const GatheredState& gathered,
                                const std::vector<float>& all_buffers, int workers) {
  SafetensorsContent content;
  for (const auto& [name, tensor] : run_state) {
    content.arrays.push_back({absl::StrCat(kRunPrefix, name), tensor.shape(), tensor.ToVector<float>()});
  }
  for (const auto& [kind, values] : gathered.optimizer) {
    for (const Parameter* parameter : arena.parameters()) {
      const auto begin = values.begin() + parameter->offset;
      content.arrays.push_back(
          {StateName(kind, *parameter), parameter->shape, std::vector<float>(begin, begin + parameter->shape.size())});
    }
  }
  const int64_t size = arena.buffer_values().size();
  for (size_t rank = 0; rank < gathered.strategy.size(); ++rank) {
    if (static_cast<int>(rank) < workers) {
      const auto begin = all_buffers.begin() + static_cast<int64_t>(rank) * size;
      content.arrays.push_back({BuffersName(static_cast<int>(rank)), {size}, std::vector<float>(begin, begin + size)});
    }
    for (const auto& [name, values] : gathered.strategy[rank]) {
      content.arrays.push_back(
          {StrategyName(static_cast<int>(rank), name), {static_cast<int64_t>(values.size())}, values});
    }
  }
  return content;
}

struct Copy {
  Tensor to;
  const float* from;
};

// The file has each array whole, by parameter; this worker's pieces take their parts. A worker that holds no state does
// not know which there should be, and leaves the judgement to the others.
void AddOptimizerCopies(const ParameterArena& arena, const std::vector<OptimizerState>& states, ArrayLookup* lookup,
                        std::vector<Copy>* copies) {
  if (states.empty()) lookup->LeaveOut();
  std::set<std::string> kinds;
  for (const OptimizerState& state : states) kinds.insert(state.name);
  for (const std::string& kind : kinds) {
    for (const Parameter* parameter : arena.parameters()) {
      const NamedArray* array = lookup->Take(StateName(kind, *parameter), parameter->shape);
      if (array == nullptr) continue;
      for (const OptimizerState& state : states) {
        const int64_t begin = std::max(state.begin, parameter->offset);
        const int64_t end = std::min(state.begin + state.values.size(), parameter->offset + parameter->shape.size());
        if (state.name != kind || begin >= end) continue;
        copies->push_back({state.values.Flat(begin - state.begin, end - state.begin),
                           array->values.data() + (begin - parameter->offset)});
      }
    }
  }
}

}  // namespace

StatusOr<SafetensorsContent> GatherTrainingState(const CheckpointParts& parts, int workers,
                                                 Communicator& communicator) {
  const ParameterArena& arena = *parts.arena;
  Device& device = arena.device();
  const int world = communicator.size(), rank = communicator.rank();
  CHECK(workers >= 1 && workers <= world) << workers << " workers among " << world << " ranks";
  // Running statistics may differ between workers (norm per worker), and a resumed run needs each its own.
  const int64_t size = arena.buffer_values().size();
  Tensor all_buffers = Tensor::Zeros(device, {world, size});
  Stream& stream = device.compute_stream();
  all_buffers.Slice(rank, rank + 1).CopyFrom(arena.buffer_values(), stream);
  TRIREME_RETURN_IF_ERROR(communicator.AllGather(all_buffers, stream));
  // On a stream that runs beside the host, a peer that is gone shows when it has come so far, and what it was to give
  // must not be written.
  stream.Synchronize();
  if (!stream.is_inline()) TRIREME_RETURN_IF_ERROR(communicator.status());
  TRIREME_ASSIGN_OR_RETURN(const GatheredState gathered,
                           GatherState(arena, *parts.optimizer, *parts.strategy, communicator));
  if (rank != 0) return SafetensorsContent();
  return StateContent(arena, parts.run_state, gathered, all_buffers.ToVector<float>(), workers);
}

Status LoadTrainingState(const std::string& checkpoint, int rank, const CheckpointParts& parts) {
  const std::string file = StateFile(checkpoint);
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent content, ReadSafetensors(file));
  if (content.arrays.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        checkpoint, " holds weights, and no run that could go on; a new one starts from them with initial_weights: \"",
        ModelFile(checkpoint), "\""));
  }
  SafetensorsContent of_optimizer;
  std::map<std::string, const NamedArray*> others;
  for (const NamedArray& array : content.arrays) {
    const bool other = absl::StartsWith(array.name, kBuffersPrefix) || absl::StartsWith(array.name, kRunPrefix) ||
                       absl::StartsWith(array.name, kStrategyPrefix);
    if (other) {
      others[array.name] = &array;
    } else {
      of_optimizer.arrays.push_back(array);
    }
  }
  std::vector<Copy> copies;
  ArrayLookup lookup(of_optimizer, file);
  AddOptimizerCopies(*parts.arena, parts.optimizer->State(), &lookup, &copies);
  for (const auto& [name, tensor] : parts.run_state) {
    const auto found = others.find(absl::StrCat(kRunPrefix, name));
    if (found == others.end() || lookup.Fit(*found->second, tensor.shape()) == nullptr) continue;
    copies.push_back({tensor, found->second->values.data()});
  }
  TRIREME_RETURN_IF_ERROR(lookup.Finish());
  for (const auto& [name, tensor] : parts.strategy->State()) {
    const auto found = others.find(StrategyName(rank, name));
    if (found == others.end() || found->second->shape.size() != tensor.size()) continue;
    copies.push_back({tensor, found->second->values.data()});
  }
  // A rank that the run did not have before starts from rank 0's.
  auto mine = others.find(BuffersName(rank));
  if (mine == others.end()) mine = others.find(BuffersName(0));
  if (mine == others.end() || mine->second->shape.size() != parts.arena->buffer_values().size()) {
    return absl::DataLossError(absl::StrCat(file, ": the buffers are missing or of another size"));
  }
  copies.push_back({parts.arena->buffer_values(), mine->second->values.data()});
  for (const Copy& copy : copies) copy.to.CopyFromHost(copy.from);
  return absl::OkStatus();
}

}  // namespace trireme

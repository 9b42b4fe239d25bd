#include "core/train/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "core/base/json_text.h"
#include "core/train/array_lookup.h"
#include "core/train/gather_state.h"
#include "core/train/rank_zero_work.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "checkpoints";
constexpr char kModelFile[] = "model.safetensors";
constexpr char kStateFile[] = "state.safetensors";
constexpr char kConfigFile[] = "config.pbtxt";
constexpr char kInfoFile[] = "checkpoint.json";
// In it, where class names are no UTF-8, which JSON has to be: their bytes as hexadecimal digits.
constexpr char kNameBytes[] = "class_name_bytes";

// Other programs must not take our filters for torch's, nor we theirs for ours.
constexpr char kFilterLayout[] = "filter_layout";
constexpr char kOurFilters[] = "OHWI";

constexpr char kRunPrefix[] = "run/";
constexpr char kBuffersPrefix[] = "buffers/";
constexpr char kStrategyPrefix[] = "strategy/";

std::string CheckpointName(int64_t step) { return absl::StrFormat("step_%08d", step); }

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

// As WriteCheckpoint names them. What else lies there (a copy, a name that the user gave) is the user's: it is neither
// the newest checkpoint nor ever removed.
bool IsCheckpointName(absl::string_view name) {
  constexpr size_t kLeastDigits = 8;
  return absl::ConsumePrefix(&name, "step_") && name.size() >= kLeastDigits &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
}

std::vector<fs::path> ListCheckpoints(const fs::path& run_folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(run_folder / kFolder, error), end; !error && at != end; at.increment(error)) {
    if (IsCheckpointName(at->path().filename().string())) found.push_back(at->path());
  }
  // By number: a step of nine digits has a longer name.
  std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
    const std::string x = a.string(), y = b.string();
    return x.size() != y.size() ? x.size() < y.size() : x < y;
  });
  return found;
}

// Whoever is killed meanwhile leaves no half of one under its name.
void RemoveCheckpoint(const fs::path& path) {
  const fs::path removed = absl::StrCat(path.string(), ".tmp", getpid(), ".old");
  std::error_code error;
  fs::rename(path, removed, error);
  fs::remove_all(removed, error);
}

bool AreUtf8(const std::vector<std::string>& names) {
  return nlohmann::json::parse(JsonText(nlohmann::json(names))) == nlohmann::json(names);
}

// What WriteCheckpoint has made of names that are no UTF-8.
Status ReadNameBytes(const nlohmann::json& json, std::vector<std::string>* names) {
  if (!json.is_array() || json.size() != names->size())
    return absl::DataLossError("the bytes of its names are damaged");
  for (size_t i = 0; i < names->size(); ++i) {
    const std::string hex = json[i].is_string() ? json[i].get<std::string>() : "";
    (*names)[i] = absl::HexStringToBytes(hex);
    if (hex.empty() || absl::BytesToHexString((*names)[i]) != hex) {
      return absl::DataLossError("the bytes of its names are damaged");
    }
  }
  return absl::OkStatus();
}

Status WriteCheckpoint(const std::string& run_folder, int keep, const CheckpointInfo& info,
                       const SafetensorsContent& model, const SafetensorsContent& state) {
  const fs::path folder = fs::path(run_folder) / kFolder;
  TRIREME_RETURN_IF_ERROR(MakeFolder(folder.string()));
  const fs::path target = folder / CheckpointName(info.step);
  const fs::path temporary = absl::StrCat(target.string(), ".tmp", getpid());
  RemoveUnfinishedCheckpoints(run_folder);
  TRIREME_RETURN_IF_ERROR(MakeFolder(temporary.string()));
  TRIREME_RETURN_IF_ERROR(WriteSafetensors((temporary / kModelFile).string(), model));
  TRIREME_RETURN_IF_ERROR(WriteSafetensors((temporary / kStateFile).string(), state));
  TRIREME_RETURN_IF_ERROR(WriteFileDurably((temporary / kConfigFile).string(), info.config_text));
  nlohmann::ordered_json json = {{"step", info.step},
                                 {"seed", info.seed},
                                 {"world_size", info.world_size},
                                 {"global_batch_size", info.global_batch_size},
                                 {"class_names", info.class_names},
                                 {"category_ids", info.category_ids}};
  // A run that goes on compares them with those of its data.
  if (!AreUtf8(info.class_names)) {
    for (const std::string& name : info.class_names) json[kNameBytes].push_back(absl::BytesToHexString(name));
  }
  TRIREME_RETURN_IF_ERROR(WriteFileDurably((temporary / kInfoFile).string(), JsonText(json, 2) + "\n"));
  TRIREME_RETURN_IF_ERROR(SyncFolder(temporary.string()));
  // A run that was resumed may reach a step a second time.
  RemoveCheckpoint(target);
  std::error_code error;
  fs::rename(temporary, target, error);
  if (error) return absl::UnavailableError(absl::StrCat(target.string(), ": cannot be written: ", error.message()));
  TRIREME_RETURN_IF_ERROR(SyncFolder(folder.string()));
  const std::vector<fs::path> all = ListCheckpoints(run_folder);
  for (size_t i = 0; i + static_cast<size_t>(std::max(keep, 1)) < all.size(); ++i) {
    if (all[i] != target) RemoveCheckpoint(all[i]);
  }
  return absl::OkStatus();
}

// Null if all are finite.
const NamedArray* FindNotFinite(const SafetensorsContent& model) {
  for (const NamedArray& array : model.arrays) {
    if (!std::all_of(array.values.begin(), array.values.end(), [](float value) { return std::isfinite(value); })) {
      return &array;
    }
  }
  return nullptr;
}

// A network may have diverged behind losses that are finite: a relu can make 0 of what is no number.
Status CheckFinite(const SafetensorsContent& model, int64_t step) {
  const NamedArray* const array = FindNotFinite(model);
  if (array == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "after step ", step, " ", array->name,
      " holds values that are not finite, so no checkpoint is written and the ones before stay; go on from the last "
      "one (--resume) at a lower rate, or with clip_gradient_norm"));
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

void RemoveUnfinishedCheckpoints(const std::string& run_folder) {
  std::vector<fs::path> unfinished;
  std::error_code error;
  const fs::path folder = fs::path(run_folder) / kFolder;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (absl::StartsWith(name, "step_") && absl::StrContains(name, ".tmp")) unfinished.push_back(at->path());
  }
  for (const fs::path& path : unfinished) fs::remove_all(path, error);
}

Status SaveCheckpoint(const std::string& run_folder, int keep, const CheckpointInfo& info, const CheckpointParts& parts,
                      Communicator& communicator) {
  const ParameterArena& arena = *parts.arena;
  Device& device = arena.device();
  const int world = communicator.size(), rank = communicator.rank();
  CHECK(info.world_size >= 1 && info.world_size <= world) << info.world_size << " workers among " << world << " ranks";
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
  SafetensorsContent model, state;
  if (rank == 0) {
    model = WeightsOf(arena);
    state = StateContent(arena, parts.run_state, gathered, all_buffers.ToVector<float>(), info.world_size);
  }
  TRIREME_RETURN_IF_ERROR(communicator.status());
  const Status written = WhileRankZeroWorks(communicator, device, [&]() -> Status {
    TRIREME_RETURN_IF_ERROR(CheckFinite(model, info.step));
    return WriteCheckpoint(run_folder, keep, info, model, state);
  });
  if (!written.ok() && rank != 0) return written;
  TRIREME_ASSIGN_OR_RETURN(const std::vector<std::string> messages,
                           AllGatherStrings(communicator, std::string(written.message()), device));
  if (messages[0].empty()) return absl::OkStatus();
  return rank == 0 ? written : absl::UnavailableError(messages[0]);
}

Status SaveModel(const std::string& run_folder, const CheckpointInfo& info, const ParameterArena& arena) {
  CHECK_EQ(info.step, 0);
  const std::vector<fs::path> all = ListCheckpoints(run_folder);
  if (!all.empty() && all.back().filename() != CheckpointName(info.step)) {
    return absl::InvalidArgumentError(absl::StrCat(run_folder, " holds a run with ", all.back().filename().string(),
                                                   ", which would be taken instead; name another folder"));
  }
  const SafetensorsContent model = WeightsOf(arena);
  if (const NamedArray* const array = FindNotFinite(model)) {
    return absl::InvalidArgumentError(absl::StrCat(array->name, " holds values that are not finite"));
  }
  return WriteCheckpoint(run_folder, 1, info, model, SafetensorsContent());
}

StatusOr<std::string> FindCheckpoint(const std::string& path) {
  std::error_code error;
  if (fs::exists(fs::path(path) / kInfoFile, error)) return path;
  const std::vector<fs::path> all = ListCheckpoints(path);
  if (all.empty()) {
    return absl::NotFoundError(
        absl::StrCat(path, " is neither a checkpoint (a folder with ", kInfoFile, ") nor a run that holds one"));
  }
  return all.back().string();
}

StatusOr<CheckpointInfo> ReadCheckpointInfo(const std::string& checkpoint) {
  const std::string path = (fs::path(checkpoint) / kInfoFile).string();
  TRIREME_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto has_number = [&](const char* key) { return json.contains(key) && json[key].is_number_integer(); };
  if (!json.is_object() || !has_number("step") || !has_number("seed") || !has_number("world_size") ||
      !has_number("global_batch_size") || !json.contains("class_names") || !json["class_names"].is_array()) {
    return absl::DataLossError(absl::StrCat(path, ": it is damaged"));
  }
  CheckpointInfo info;
  info.step = json["step"];
  if (info.step < 0) return absl::DataLossError(absl::StrCat(path, ": it is damaged: step ", info.step));
  info.seed = json["seed"];
  info.world_size = json["world_size"];
  info.global_batch_size = json["global_batch_size"];
  for (const auto& name : json["class_names"]) {
    if (!name.is_string()) return absl::DataLossError(absl::StrCat(path, ": a class name is no string"));
    info.class_names.push_back(name);
  }
  if (json.contains(kNameBytes)) {
    TRIREME_RETURN_IF_ERROR(Annotate(ReadNameBytes(json[kNameBytes], &info.class_names), path));
  }
  for (const auto& id : json.value("category_ids", nlohmann::json::array())) {
    if (!id.is_number_integer()) return absl::DataLossError(absl::StrCat(path, ": a category id is no number"));
    info.category_ids.push_back(id);
  }
  if (!info.category_ids.empty() && info.category_ids.size() != info.class_names.size()) {
    return absl::DataLossError(absl::StrCat(path, ": it has ", info.class_names.size(), " class names, but ",
                                            info.category_ids.size(), " category ids"));
  }
  TRIREME_ASSIGN_OR_RETURN(info.config_text, ReadFile((fs::path(checkpoint) / kConfigFile).string()));
  return info;
}

std::string ModelFile(const std::string& checkpoint) { return (fs::path(checkpoint) / kModelFile).string(); }
std::string StateFile(const std::string& checkpoint) { return (fs::path(checkpoint) / kStateFile).string(); }

SafetensorsContent WeightsOf(const ParameterArena& arena) {
  SafetensorsContent content;
  for (const Parameter* parameter : arena.parameters()) {
    content.arrays.push_back({parameter->name, parameter->shape, parameter->value().ToVector<float>()});
  }
  for (const Buffer* buffer : arena.buffers()) {
    content.arrays.push_back({buffer->name, buffer->shape, buffer->value.ToVector<float>()});
  }
  content.metadata[kFilterLayout] = kOurFilters;
  return content;
}

bool IsOwnFormat(const SafetensorsContent& content) {
  const auto layout = content.metadata.find(kFilterLayout);
  return layout != content.metadata.end() && layout->second == kOurFilters;
}

Status SetWeights(const SafetensorsContent& content, const std::string& source, ParameterArena* arena) {
  if (!IsOwnFormat(content)) {
    return absl::InvalidArgumentError(absl::StrCat(source, " is not a file of Trireme's (its metadata have no ",
                                                   kFilterLayout, " ", kOurFilters,
                                                   "): //tools:convert makes one of torchvision's and Darknet's"));
  }
  ArrayLookup lookup(content, source);
  std::vector<std::pair<Tensor, const NamedArray*>> copies;
  for (const Parameter* parameter : arena->parameters()) {
    copies.emplace_back(parameter->value(), lookup.Take(parameter->name, parameter->shape));
  }
  for (const Buffer* buffer : arena->buffers()) {
    copies.emplace_back(buffer->value, lookup.Take(buffer->name, buffer->shape));
  }
  TRIREME_RETURN_IF_ERROR(lookup.Finish());
  for (const auto& [tensor, array] : copies) tensor.CopyFromHost(array->values.data());
  arena->RefreshRounded();
  return absl::OkStatus();
}

Status LoadWeights(const std::string& safetensors_file, ParameterArena* arena) {
  TRIREME_ASSIGN_OR_RETURN(const SafetensorsContent content, ReadSafetensors(safetensors_file));
  return SetWeights(content, safetensors_file, arena);
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

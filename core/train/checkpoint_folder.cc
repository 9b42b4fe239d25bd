#include "core/train/checkpoint_folder.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/base/files.h"
#include "core/base/json_text.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "checkpoints";
constexpr char kBest[] = "best";
constexpr char kModelFile[] = "model.safetensors";
constexpr char kStateFile[] = "state.safetensors";
constexpr char kTrainedFile[] = "trained.safetensors";
constexpr char kConfigFile[] = "config.pbtxt";
constexpr char kEvaluationFile[] = "evaluation.json";
constexpr char kInfoFile[] = "checkpoint.json";

// As WriteCheckpoint names them. What else lies there (a copy, a name that the user gave) is the user's: it is neither
// the newest checkpoint nor ever removed.
bool IsCheckpointName(absl::string_view name) {
  constexpr size_t kLeastDigits = 8;
  return absl::ConsumePrefix(&name, "step_") && name.size() >= kLeastDigits &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
}

Status WriteParts(const fs::path& folder, const CheckpointInfo& info, const CheckpointContent& content) {
  TRIREME_RETURN_IF_ERROR(MakeFolder(folder.string()));
  TRIREME_RETURN_IF_ERROR(WriteSafetensors((folder / kModelFile).string(), content.model));
  TRIREME_RETURN_IF_ERROR(WriteSafetensors((folder / kStateFile).string(), content.state));
  if (content.trained.has_value()) {
    TRIREME_RETURN_IF_ERROR(WriteSafetensors((folder / kTrainedFile).string(), *content.trained));
  }
  TRIREME_RETURN_IF_ERROR(WriteFileDurably((folder / kConfigFile).string(), info.config_text));
  CheckpointInfo complete = info;
  complete.averaged = content.trained.has_value();
  TRIREME_RETURN_IF_ERROR(WriteFileDurably((folder / kInfoFile).string(), ToJson(complete)));
  return SyncFolder(folder.string());
}

// Whoever is killed meanwhile leaves no half of one under its name.
void RemoveCheckpoint(const std::string& path) {
  const std::string removed = absl::StrCat(path, ".tmp", getpid(), ".old");
  std::error_code error;
  fs::rename(path, removed, error);
  fs::remove_all(removed, error);
}

// The oldest beyond `keep`, but for the best and the one that has just come.
void RemoveOldCheckpoints(const std::string& run_folder, int keep, const std::string& newest) {
  const std::vector<std::string> all = ListCheckpoints(run_folder);
  const std::string best = BestCheckpoint(run_folder);
  for (size_t i = 0; i + static_cast<size_t>(std::max(keep, 1)) < all.size(); ++i) {
    if (all[i] != newest && all[i] != best) RemoveCheckpoint(all[i]);
  }
}

}  // namespace

std::vector<std::string> ListCheckpoints(const std::string& run_folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator at(fs::path(run_folder) / kFolder, error), end; !error && at != end;
       at.increment(error)) {
    if (IsCheckpointName(at->path().filename().string())) found.push_back(at->path().string());
  }
  // By number: a step of nine digits has a longer name.
  std::sort(found.begin(), found.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  return found;
}

std::string CheckpointPath(const std::string& run_folder, int64_t step) {
  return (fs::path(run_folder) / kFolder / absl::StrFormat("step_%08d", step)).string();
}

bool IsCheckpoint(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::path(path) / kInfoFile, error);
}

StatusOr<std::string> FindCheckpoint(const std::string& path) {
  if (IsCheckpoint(path)) return path;
  const std::vector<std::string> all = ListCheckpoints(path);
  if (all.empty()) {
    return absl::NotFoundError(
        absl::StrCat(path, " is neither a checkpoint (a folder with ", kInfoFile, ") nor a run that holds one"));
  }
  return all.back();
}

StatusOr<CheckpointInfo> ReadCheckpointInfo(const std::string& checkpoint) {
  const std::string path = (fs::path(checkpoint) / kInfoFile).string();
  TRIREME_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  TRIREME_ASSIGN_OR_RETURN(CheckpointInfo info, ParseCheckpointInfo(text, path));
  TRIREME_ASSIGN_OR_RETURN(info.config_text, ReadFile((fs::path(checkpoint) / kConfigFile).string()));
  return info;
}

std::string ModelFile(const std::string& checkpoint) { return (fs::path(checkpoint) / kModelFile).string(); }
std::string StateFile(const std::string& checkpoint) { return (fs::path(checkpoint) / kStateFile).string(); }
std::string TrainedFile(const std::string& checkpoint) { return (fs::path(checkpoint) / kTrainedFile).string(); }

Status WriteCheckpoint(const std::string& run_folder, int keep, const CheckpointInfo& info,
                       const CheckpointContent& content) {
  const std::string folder = (fs::path(run_folder) / kFolder).string();
  TRIREME_RETURN_IF_ERROR(MakeFolder(folder));
  const std::string target = CheckpointPath(run_folder, info.step);
  const fs::path temporary = absl::StrCat(target, ".tmp", getpid());
  RemoveUnfinishedCheckpoints(run_folder);
  std::error_code error;
  if (const Status written = WriteParts(temporary, info, content); !written.ok()) {
    // On a full disk its room is what the report has left.
    fs::remove_all(temporary, error);
    return written;
  }
  // A run that was resumed may reach a step a second time.
  RemoveCheckpoint(target);
  fs::rename(temporary, target, error);
  if (error) return absl::UnavailableError(absl::StrCat(target, ": cannot be written: ", error.message()));
  TRIREME_RETURN_IF_ERROR(SyncFolder(folder));
  RemoveOldCheckpoints(run_folder, keep, target);
  return absl::OkStatus();
}

Status WriteEvaluation(const std::string& checkpoint, const EvaluationReport& report) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : report) json[name] = value;
  return WriteFileAtomically((fs::path(checkpoint) / kEvaluationFile).string(), JsonText(json, 2) + "\n");
}

std::optional<double> ReadEvaluation(const std::string& checkpoint, const std::string& name) {
  const StatusOr<std::string> text = ReadFile((fs::path(checkpoint) / kEvaluationFile).string());
  if (!text.ok()) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  // What is not finite is null in JSON.
  if (!json.is_object() || !json.contains(name) || !json[name].is_number()) return std::nullopt;
  return json[name].get<double>();
}

Status LinkBest(const std::string& run_folder, int keep, int64_t step) {
  const fs::path link = fs::path(run_folder) / kBest, temporary = link.string() + ".tmp";
  std::error_code error;
  fs::remove(temporary, error);
  // Relative, so that a run's folder may be moved.
  fs::create_directory_symlink(fs::path(kFolder) / fs::path(CheckpointPath(run_folder, step)).filename(), temporary,
                               error);
  if (!error) fs::rename(temporary, link, error);
  if (error) return absl::UnavailableError(absl::StrCat(link.string(), ": cannot be made: ", error.message()));
  TRIREME_RETURN_IF_ERROR(SyncFolder(run_folder));
  RemoveOldCheckpoints(run_folder, keep, CheckpointPath(run_folder, step));
  return absl::OkStatus();
}

std::string BestCheckpoint(const std::string& run_folder) {
  std::error_code error;
  const fs::path target = fs::read_symlink(fs::path(run_folder) / kBest, error);
  return error ? "" : (fs::path(run_folder) / target).string();
}

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

}  // namespace trireme

#include "tools/job/job_facts.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_join.h"
#include "core/base/build_id.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/config/config_file.h"

namespace trireme {
namespace {

// Fields, and messages, whose values are a host's own business.
constexpr const char* kOfTheHost[] = {"device",          "devices", "loader", "memory_at_start_mb",
                                      "memory_limit_mb", "out",     "plugin", "threads_per_worker"};

bool IsOfTheHost(const std::string& path) {
  const std::string top = path.substr(0, path.find_first_of(".["));
  return std::any_of(std::begin(kOfTheHost), std::end(kOfTheHost), [&](const char* field) { return top == field; });
}

std::string FileName(const std::string& path) { return std::filesystem::path(path).filename().string(); }

void AddBuilds(const Config& config, std::vector<Fact>* facts) {
  for (const auto& [path, id] : LoadedBuildIds()) {
    if (path.empty()) facts->push_back({"the program's build", id});
    for (const std::string& plugin : config.plugin()) {
      if (!path.empty() && FileName(path) == FileName(plugin)) {
        facts->push_back({"the build of the plugin " + FileName(plugin), id});
      }
    }
  }
}

void AddData(const char* field, const Dataset& data, std::vector<Fact>* facts) {
  facts->push_back({absl::StrCat("the number of images in ", field), absl::StrCat(data.size())});
  facts->push_back({absl::StrCat("the classes of ", field), absl::StrJoin(data.class_names(), ", ")});
}

}  // namespace

StatusOr<std::string> DescribeBytes(const std::string& checkpoint, const CheckpointInfo& info) {
  std::vector<std::string> paths = {ModelFile(checkpoint), StateFile(checkpoint)}, files;
  if (info.averaged) paths.push_back(TrainedFile(checkpoint));
  for (const std::string& path : paths) {
    TRIREME_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
    files.push_back(absl::StrCat(bytes.size(), " in ", FileName(path), " (hash ",
                                 absl::Hex(StableHash(bytes), absl::kZeroPad16), ")"));
  }
  return absl::StrJoin(files, " and ");
}

std::vector<Fact> FactsOf(const Job& job) {
  std::vector<Fact> facts;
  AddBuilds(job.config, &facts);
  for (const auto& [path, value] : ListFields(job.config)) {
    if (!IsOfTheHost(path)) facts.push_back({"the config's " + path, value});
  }
  AddData("train_data", *job.train_data, &facts);
  if (job.eval_data != nullptr) AddData("eval_data", *job.eval_data, &facts);
  facts.push_back({"the step to go on from", absl::StrCat(job.resumed.step)});
  facts.push_back({"the checkpoint's bytes", job.resumed_bytes});
  const TraceOptions& trace = job.trace;
  facts.push_back({"the steps that --trace is of",
                   trace.file.empty() ? "none" : absl::StrCat(trace.first_step, ":", trace.end_step)});
  return facts;
}

}  // namespace trireme

// Compares parallel strategies on the model of a config. See kHelp.
#include <gflags/gflags.h>

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/files.h"
#include "core/config/config_file.h"
#include "tools/cli/command_line.h"
#include "tools/comparison/comparison.h"
#include "tools/comparison/comparison_output.h"
#include "tools/comparison/comparison_table.h"

DEFINE_string(config, "", "");
DEFINE_string(strategies, "all", "");
DEFINE_string(workers, "1,2", "");
DEFINE_int64(steps, 20, "");
DEFINE_int64(warmup, 5, "");
DEFINE_int32(rounds, 3, "");
DEFINE_double(timeout, 600, "");
DEFINE_string(device, "", "");
DEFINE_string(plugin, "", "");
DEFINE_string(json, "", "");
DEFINE_string(out, "", "");
DEFINE_string(trace, "", "");

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kHelp[] =
    R"(Compares parallel strategies by measurement, on the model and data of a config.

  compare --config=ssd.pbtxt --strategies=all --workers=1,2,4

What to compare
  --config=FILE        as for train; its strategy, workers and steps are replaced
  --strategies=LIST    all, or ring_all_reduce,data_parallel{reduction: GATHER_TO_ONE}, or both: all,sharded{stage: 2};
                       one worker of `single` is always the first row, and what the others are compared with
  --workers=LIST       1,2,4
  --set PATH=VALUE     overrides a field of the config; any number
  --plugin=A.so,B.so   shared objects with further components
  --device=NAME        cpu, cuda, cuda:N or auto

How to measure
  --steps=N            steps that are measured, in each run (20)
  --warmup=N           steps before them (5)
  --rounds=N           runs of each row, in turn with the others (3)
  --timeout=SECONDS    of one run (600)

Where it goes
  --out=DIR            runs, logs and comparison.html; comparisons/<config> if left out
  --json=FILE          all numbers, too
  --trace=FILE         where the time of some steps goes, of one more run of each row, for ui.perfetto.dev

A strategy that fails is a row with its sentence; Ctrl-C ends with the rows that were measured. Ends with 0 when all
rows were measured, 1 when one failed, 2 when the input was wrong.
)";

Status CheckFlags() {
  if (FLAGS_steps < 1 || FLAGS_warmup < 0 || FLAGS_rounds < 1 || !(FLAGS_timeout > 0)) {
    return absl::InvalidArgumentError(
        "--steps and --rounds have to be at least 1, --warmup at least 0, --timeout more than 0");
  }
  return absl::OkStatus();
}

Status RunComparison() {
  TRIREME_RETURN_IF_ERROR(CheckFlags());
  TRIREME_RETURN_IF_ERROR(LoadPluginsOfFlag(FLAGS_plugin));
  Config config;
  std::string path;
  TRIREME_RETURN_IF_ERROR(LoadConfig(FLAGS_config, &config, &path));
  if (!FLAGS_device.empty()) config.set_device(FLAGS_device);
  for (const absl::string_view plugin : absl::StrSplit(FLAGS_plugin, ',', absl::SkipEmpty())) {
    config.add_plugin(std::string(plugin));
  }
  TRIREME_ASSIGN_OR_RETURN(const std::vector<Combination> plan, MakePlan(FLAGS_strategies, FLAGS_workers));

  ComparisonOptions options;
  options.steps = FLAGS_steps;
  options.warmup_steps = FLAGS_warmup;
  options.rounds = FLAGS_rounds;
  options.timeout_seconds = FLAGS_timeout;
  const std::string name = fs::path(path).stem().string();
  options.folder = FLAGS_out.empty() ? absl::StrCat("comparisons/", name) : FLAGS_out;
  options.trace = FLAGS_trace;
  TRIREME_RETURN_IF_ERROR(CheckOutputFile("json", FLAGS_json));
  TRIREME_RETURN_IF_ERROR(MakeFolder(options.folder));
  if (const fs::path folder = fs::path(FLAGS_trace).parent_path(); !folder.empty()) {
    TRIREME_RETURN_IF_ERROR(MakeFolder(folder.string()));
  }
  TRIREME_RETURN_IF_ERROR(CheckOutputFile("trace", FLAGS_trace));
  StopRequested();  // so that Ctrl-C ends the run under way, too

  TRIREME_ASSIGN_OR_RETURN(const Comparison comparison, Compare(config, plan, options, [](const std::string& what) {
                             absl::PrintF("%s\n", what);
                             fflush(stdout);
                           }));
  // First what cannot fail: it may have taken hours.
  absl::PrintF("\n%s\n", ComparisonTable(comparison));
  fflush(stdout);
  const std::string page = options.folder + "/comparison.html";
  TRIREME_RETURN_IF_ERROR(WriteFileAtomically(page, ComparisonPage(comparison, options, name, PrintText(config))));
  if (!FLAGS_json.empty()) TRIREME_RETURN_IF_ERROR(WriteFileAtomically(FLAGS_json, ComparisonJson(comparison)));
  absl::PrintF("  page        %s\n", page);
  TRIREME_RETURN_IF_ERROR(comparison.ended);
  if (!FLAGS_trace.empty()) absl::PrintF("  trace       %s\n", FLAGS_trace);
  int failed = 0;
  for (const Row& row : comparison.rows) failed += row.failure.empty() ? 0 : 1;
  if (failed == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(failed, " of ", comparison.rows.size(), " rows failed; see above"));
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) { return trireme::RunTool(argc, argv, trireme::kHelp, trireme::RunComparison); }

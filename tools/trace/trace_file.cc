#include "tools/trace/trace_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/files.h"
#include "core/base/json_text.h"

namespace trireme {
namespace {

using Json = nlohmann::ordered_json;

// Perfetto takes threads of one number for one thread, whatever their processes, 0 for the system's own, and a
// process's number for that of its first thread: tracks are counted through all processes, from beyond any of these.
constexpr int64_t kFirstThread = 1000000;
int64_t ProcessOf(int64_t rank) { return rank + 1; }

// Parts are compact, as all ranks get them: an event is [kind, name, number, bytes, begin, end].
Json EventsOf(const TraceTrack& track, int64_t offset) {
  std::vector<TraceEvent> events = track.events();
  // As a viewer nests them: what holds others comes before these.
  std::sort(events.begin(), events.end(), [](const TraceEvent& a, const TraceEvent& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
  Json json = Json::array();
  for (const TraceEvent& event : events) {
    json.push_back(
        {TraceKindName(event.kind), event.name, event.number, event.bytes, event.begin + offset, event.end + offset});
  }
  return json;
}

Json Metadata(const char* name, int64_t process, int64_t thread, const Json& arguments) {
  Json json = {{"ph", "M"}, {"name", name}, {"pid", process}};
  if (thread >= 0) json["tid"] = thread;
  json["args"] = arguments;
  return json;
}

// The unit of the format. Perfetto multiplies by 1000 and cuts off what is behind the point: where the product falls
// short, an event would end a nanosecond after the next one begins, and Perfetto drops events that overlap.
double Microseconds(int64_t nanoseconds) {
  double value = static_cast<double>(nanoseconds) / 1000;
  while (static_cast<int64_t>(value * 1000) < nanoseconds) {
    value = std::nextafter(value, std::numeric_limits<double>::infinity());
  }
  return value;
}

int64_t Nanoseconds(const Json& microseconds) { return std::llround(microseconds.get<double>() * 1000); }

Json CompleteEvent(const Json& event, int64_t process, int64_t thread, int64_t zero) {
  std::string name = event[1];
  const int64_t number = event[2], bytes = event[3], begin = event[4], end = event[5];
  if (number >= 0) absl::StrAppend(&name, " ", number);
  Json json = {{"ph", "X"},
               {"name", name},
               {"cat", event[0]},
               {"pid", process},
               {"tid", thread},
               {"ts", Microseconds(begin - zero)},
               {"dur", Microseconds(end - begin)}};
  if (bytes >= 0) json["args"] = {{"bytes", bytes}};
  return json;
}

// One event a line: of use to people, and to diff.
std::string Print(const Json& events, const Json& about) {
  std::string text =
      absl::StrCat("{\"displayTimeUnit\":\"ms\",\"otherData\":", JsonText(about), ",\"traceEvents\":[\n");
  for (size_t i = 0; i < events.size(); ++i) absl::StrAppend(&text, i > 0 ? ",\n" : "", JsonText(events[i]));
  return text + "\n]}\n";
}

// What TracePart has made of each; `zero` is the time that is written as 0.
Status WriteRanks(const std::vector<Json>& ranks, int64_t zero, const std::string& description,
                  const std::string& path) {
  Json events = Json::array();
  Json about = {{"description", description}, {"events_left_out", 0}};
  int64_t left_out = 0, thread = kFirstThread;
  double error = 0;
  for (const Json& rank : ranks) {
    const int64_t process = ProcessOf(rank["rank"]);
    events.push_back(Metadata("process_name", process, -1, {{"name", rank["process"]}}));
    events.push_back(Metadata("process_sort_index", process, -1, {{"sort_index", process}}));
    for (const Json& track : rank["tracks"]) {
      left_out += track["left_out"].get<int64_t>();
      if (track["events"].empty()) continue;
      events.push_back(Metadata("thread_name", process, thread, {{"name", track["name"]}}));
      events.push_back(Metadata("thread_sort_index", process, thread, {{"sort_index", thread}}));
      for (const Json& event : track["events"]) events.push_back(CompleteEvent(event, process, thread, zero));
      ++thread;
    }
    error = std::max(error, Microseconds(rank["error"]));
  }
  about["events_left_out"] = left_out;
  about["clock_error_us"] = error;
  return WriteFileAtomically(path, Print(events, about));
}

// The first event's, in nanoseconds.
int64_t BeginOf(const Json& trace) {
  int64_t begin = std::numeric_limits<int64_t>::max();
  for (const Json& event : trace["traceEvents"]) {
    if (event.contains("ts")) begin = std::min(begin, Nanoseconds(event["ts"]));
  }
  return begin;
}

}  // namespace

std::string TracePart(const Trace& trace, const std::string& process, int64_t offset, int64_t error) {
  Json part = {{"rank", trace.rank()}, {"process", process}, {"error", error}, {"tracks", Json::array()}};
  for (const TraceTrack* track : trace.tracks()) {
    part["tracks"].push_back(
        {{"name", track->name()}, {"left_out", track->num_left_out()}, {"events", EventsOf(*track, offset)}});
  }
  return JsonText(part);
}

Status WriteTrace(const std::vector<std::string>& parts, const std::string& description, const std::string& path) {
  std::vector<Json> ranks;
  int64_t zero = std::numeric_limits<int64_t>::max();
  for (const std::string& part : parts) {
    ranks.push_back(Json::parse(part));
    for (const Json& track : ranks.back()["tracks"]) {
      if (!track["events"].empty()) zero = std::min(zero, track["events"][0][4].get<int64_t>());
    }
  }
  return WriteRanks(ranks, zero, description, path);
}

Status GatherAndWriteTrace(Trace* trace, const std::string& process, const std::string& description,
                           const std::string& path, Communicator& communicator, Device& device) {
  trace->Stop();
  TRIREME_ASSIGN_OR_RETURN(const ClockOffset offset,
                           EstimateClockOffset(communicator, device, ThisClockId(), TraceClock));
  TRIREME_ASSIGN_OR_RETURN(
      const std::vector<std::string> parts,
      AllGatherStrings(communicator, TracePart(*trace, process, offset.nanoseconds, offset.error), device));
  return communicator.rank() == 0 ? WriteTrace(parts, description, path) : absl::OkStatus();
}

Status WriteOwnTrace(Trace* trace, const std::string& process, const std::string& description, const std::string& path,
                     const JobClock& clock) {
  trace->Stop();
  const std::vector<const TraceTrack*> tracks = trace->tracks();
  const bool empty =
      std::all_of(tracks.begin(), tracks.end(), [](const auto* track) { return track->events().empty(); });
  if (empty) return absl::OkStatus();
  std::filesystem::path own = path;
  if (trace->rank() > 0) {
    const std::string extension = own.extension().string();
    own.replace_extension(absl::StrCat("rank", trace->rank(), extension));
  }
  const Json part = Json::parse(TracePart(*trace, process, clock.offset.nanoseconds, clock.offset.error));
  return WriteRanks({part}, clock.zero, absl::StrCat(description, ", rank ", trace->rank(), " alone, up to a fault"),
                    own.string());
}

Status MergeTraces(const std::vector<NamedTraceFile>& files, const std::string& description, const std::string& path) {
  Json events = Json::array();
  int64_t processes_before = 0, threads_before = 0, left_out = 0;
  for (const NamedTraceFile& file : files) {
    if (!PathExists(file.path)) continue;
    TRIREME_ASSIGN_OR_RETURN(const std::string text, ReadFile(file.path));
    const Json trace = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!trace.is_object() || !trace.contains("traceEvents")) {
      return absl::DataLossError(absl::StrCat(file.path, ": this is no trace"));
    }
    left_out += trace["otherData"].value("events_left_out", int64_t{0});
    int64_t processes = 0, threads = 0;
    const int64_t begin = BeginOf(trace);
    for (Json event : trace["traceEvents"]) {
      const int64_t process = event["pid"];
      processes = std::max(processes, process);
      event["pid"] = processes_before + process;
      if (event.contains("tid")) {
        const int64_t thread = event["tid"];
        threads = std::max(threads, thread - kFirstThread + 1);
        event["tid"] = threads_before + thread;
      }
      if (event.contains("ts")) event["ts"] = Microseconds(Nanoseconds(event["ts"]) - begin);
      if (event["name"] == "process_name") {
        event["args"]["name"] = absl::StrCat(file.name, ": ", event["args"]["name"].get<std::string>());
      }
      if (event["name"] == "process_sort_index") event["args"]["sort_index"] = processes_before + process;
      events.push_back(std::move(event));
    }
    processes_before += processes;
    threads_before += threads;
  }
  return WriteFileAtomically(path, Print(events, {{"description", description}, {"events_left_out", left_out}}));
}

}  // namespace trireme

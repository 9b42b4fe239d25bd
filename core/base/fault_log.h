// Faults that a run survives: a box without area, an image that does not decode, a class that the
// config does not name. Each is counted by kind and kept with its place, so that nothing is skipped
// silently; the tools print the summary and the report lists it.
#ifndef TRIREME_CORE_BASE_FAULT_LOG_H_
#define TRIREME_CORE_BASE_FAULT_LOG_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace trireme {

struct Fault {
  std::string kind;     // "box has no area": the same words for every fault of the kind
  std::string where;    // "Annotations/a.xml:37"
  std::string message;  // what was found and what was done about it
};

// Safe for any number of threads. A fault seen again (same kind and place) is counted once.
class FaultLog {
 public:
  void Add(absl::string_view kind, absl::string_view where, absl::string_view message);

  // In the order first seen; at most `kMaxKept` of a kind are kept, all are counted.
  std::vector<Fault> faults() const;
  // Every one that was counted: those that are kept, then the others, whose messages are empty.
  std::vector<Fault> all() const;
  std::map<std::string, int64_t> counts() const;
  bool empty() const;

  // "3 faults in the data: 2 x box has no area (first: a.xml:37), 1 x ..."; empty if none.
  std::string Summary() const;

  static constexpr int kMaxKept = 100;

 private:
  mutable std::mutex mutex_;
  std::set<std::pair<std::string, std::string>> seen_;
  std::map<std::string, int64_t> counts_;
  std::vector<Fault> faults_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_BASE_FAULT_LOG_H_

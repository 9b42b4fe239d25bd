#include "parallel/strategies/hierarchical/hosts.h"

#include <algorithm>

#include "absl/strings/str_join.h"

namespace trireme {

StatusOr<HostRings> MakeHostRings(const std::vector<std::string>& host_of, int rank) {
  std::vector<std::string> hosts;          // by first appearance
  std::vector<std::vector<int>> ranks_of;  // by host
  for (int r = 0; r < static_cast<int>(host_of.size()); ++r) {
    const auto found = std::find(hosts.begin(), hosts.end(), host_of[r]);
    const size_t host = static_cast<size_t>(found - hosts.begin());
    if (found == hosts.end()) {
      hosts.push_back(host_of[r]);
      ranks_of.emplace_back();
    }
    ranks_of[host].push_back(r);
  }
  for (const std::vector<int>& ranks : ranks_of) {
    if (ranks.size() == ranks_of[0].size()) continue;
    std::vector<std::string> counts;
    for (size_t host = 0; host < hosts.size(); ++host) {
      counts.push_back(absl::StrCat(hosts[host], " has ", ranks_of[host].size()));
    }
    return absl::FailedPreconditionError(absl::StrCat("every host has to have as many workers as the others, but ",
                                                      absl::StrJoin(counts, ", "),
                                                      "; start as many on each, or use strategy/ring_all_reduce"));
  }
  HostRings rings;
  for (size_t host = 0; host < hosts.size(); ++host) {
    const auto found = std::find(ranks_of[host].begin(), ranks_of[host].end(), rank);
    if (found == ranks_of[host].end()) continue;
    rings.inside = {ranks_of[host], static_cast<int>(found - ranks_of[host].begin())};
    rings.across.place = static_cast<int>(host);
  }
  for (const std::vector<int>& ranks : ranks_of) rings.across.ranks.push_back(ranks[rings.inside.place]);
  return rings;
}

}  // namespace trireme

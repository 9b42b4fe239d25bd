#include "parallel/communicator/calls/calls.h"

#include <glog/logging.h>

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace trireme {

std::string DescribeCall(const char* operation, const Tensor& tensor) {
  return absl::StrCat(operation, " of ", tensor.bytes(), " bytes of ", DataTypeName(tensor.type()));
}

std::string DescribeCall(const char* operation, const Tensor& tensor, ReduceOperation by) {
  return absl::StrCat(DescribeCall(operation, tensor), " by ", by == ReduceOperation::kSum ? "sum" : "max");
}

std::vector<int> AllRanks(int size) {
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

std::string RankNames(const std::vector<int>& ranks) {
  if (ranks.empty()) return "its peers";
  return absl::StrCat(ranks.size() == 1 ? "rank " : "ranks ", absl::StrJoin(ranks, ", "));
}

Status DifferentCalls(int rank, const std::string& call, int peer, const std::string& call_of_peer) {
  return absl::InternalError(absl::StrCat("rank ", rank, " is in ", call, " and rank ", peer, " in ", call_of_peer,
                                          "; all ranks have to make the same calls in one order"));
}

Status TooLate(const std::string& waiting, double timeout_seconds, const std::vector<int>& late,
               const std::string& call, const char* key) {
  return absl::DeadlineExceededError(
      absl::StrCat(waiting, "waited ", timeout_seconds, " s for ", RankNames(late), " in ", call,
                   "; find out what keeps the peer, or raise timeout_seconds in communicator { [", key,
                   "] {} } if it is only slow"));
}

Status HasEnded(const std::string& waiting, const std::vector<int>& peers, const std::string& call) {
  return absl::UnavailableError(
      absl::StrCat(waiting, "waits for ", RankNames(peers), " in ", call, ", but that worker has ended"));
}

Status CheckTimeout(double timeout_seconds) {
  if (timeout_seconds > 0 && timeout_seconds <= 1e6) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("timeout_seconds is ", timeout_seconds, "; it has to be more than 0 and at most 1000000"));
}

void CheckReducible(const Tensor& tensor) {
  CHECK(tensor.type() != DataType::kUint8) << "a tensor of " << DataTypeName(tensor.type()) << " cannot be reduced";
}

void CheckDivides(const Tensor& tensor, const Communicator& among) {
  CHECK_EQ(tensor.size() % among.size(), 0) << tensor.shape() << " does not divide among " << among.size() << " ranks";
}

void CheckRank(int rank, const Communicator& among) {
  CHECK(rank >= 0 && rank < among.size()) << rank << " of " << among.size();
}

void CheckPeer(int peer, const Communicator& of) {
  CheckRank(peer, of);
  CHECK_NE(peer, of.rank()) << "a rank does not send to itself";
}

}  // namespace trireme

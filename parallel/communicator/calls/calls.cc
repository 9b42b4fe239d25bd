#include "parallel/communicator/calls/calls.h"

#include <glog/logging.h>

#include "absl/strings/str_cat.h"

namespace trireme {

std::string DescribeCall(const char* operation, const Tensor& tensor) {
  return absl::StrCat(operation, " of ", tensor.bytes(), " bytes of ", DataTypeName(tensor.type()));
}

std::string DescribeCall(const char* operation, const Tensor& tensor, ReduceOperation by) {
  return absl::StrCat(DescribeCall(operation, tensor), " by ", by == ReduceOperation::kSum ? "sum" : "max");
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

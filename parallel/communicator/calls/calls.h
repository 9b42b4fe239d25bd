// What all communicators say of a call, and demand of it. What a call demands is the programmer's business: CHECKs;
// what the config has to say is the user's.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_CALLS_CALLS_H_
#define TRIREME_PARALLEL_COMMUNICATOR_CALLS_CALLS_H_

#include <string>
#include <vector>

#include "core/api/communicator.h"

namespace trireme {

// "AllReduce of 400 bytes of float32"; of a reduction also " by sum".
std::string DescribeCall(const char* operation, const Tensor& tensor);
std::string DescribeCall(const char* operation, const Tensor& tensor, ReduceOperation by);

// 0 to `size` - 1.
std::vector<int> AllRanks(int size);
// "rank 3"; "ranks 1, 3"; "its peers" where it is not known which.
std::string RankNames(const std::vector<int>& ranks);

// Faults of a call, in words. `waiting` is who waits, "rank 1 ", or empty where it is named anyway; calls are as
// DescribeCall does it.
Status DifferentCalls(int rank, const std::string& call, int peer, const std::string& call_of_peer);
// `key` is of the communicator that has the deadline: "communicator/gloo".
Status TooLate(const std::string& waiting, double timeout_seconds, const std::vector<int>& late,
               const std::string& call, const char* key);
Status HasEnded(const std::string& waiting, const std::vector<int>& peers, const std::string& call);

// InvalidArgument unless a config's `timeout_seconds` is more than 0 and at most 1000000, eleven days: beyond, as with
// inf, some clock would overflow, and a wait end at once.
Status CheckTimeout(double timeout_seconds);

void CheckReducible(const Tensor& tensor);
// Into one part for each rank.
void CheckDivides(const Tensor& tensor, const Communicator& among);
void CheckRank(int rank, const Communicator& among);
void CheckPeer(int peer, const Communicator& of);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_CALLS_CALLS_H_

// What all communicators say of a call, and demand of it. What a call demands is the programmer's business: CHECKs;
// what the config has to say is the user's.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_CALLS_CALLS_H_
#define TRIREME_PARALLEL_COMMUNICATOR_CALLS_CALLS_H_

#include <string>

#include "core/api/communicator.h"

namespace trireme {

// "AllReduce of 400 bytes of float32"; of a reduction also " by sum".
std::string DescribeCall(const char* operation, const Tensor& tensor);
std::string DescribeCall(const char* operation, const Tensor& tensor, ReduceOperation by);

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

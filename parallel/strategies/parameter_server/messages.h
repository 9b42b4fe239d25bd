// What workers and servers say to each other. A worker speaks first: a header, and what belongs to it. Each worker has
// a channel of its own to all servers.
//
//   kPart     step, part      the gradients of that part of the server's shard, as buckets.compression has it
//   kSums     step            to some servers with ranks of their own, where a guard has to see all sums before the
//                             update: the server answers with the sums of all its parts
//   kControl  step            the update's control (push_sum.h); the server answers with the values of all its parts
//   kBeat                     nothing: the worker is alive, and busy with something else
//   kSettle   steps, flags    to servers with ranks of their own: the workers interrupt the run
//   kEnd                      the last
//
// The beats keep a server's wait for the next word from ending at the deadline while a worker computes, evaluates or
// writes a checkpoint, however long that takes.
#ifndef TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_MESSAGES_H_
#define TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_MESSAGES_H_

#include <chrono>
#include <cstdint>

#include "core/api/strategy.h"

namespace trireme {

struct PushHeader {
  enum Kind : int64_t { kPart = 1, kSums, kControl, kBeat, kSettle, kEnd };
  int64_t kind = kBeat;
  int64_t step = 0;
  int64_t detail = 0;  // the part, or the flags
};
inline constexpr int64_t kPushHeaderWords = 3;
static_assert(sizeof(PushHeader) == kPushHeaderWords * sizeof(int64_t), "a header is sent as int64");

// Shorter than any deadline that makes sense.
inline constexpr auto kPushBeat = std::chrono::milliseconds(100);

inline PushHeader SettleHeader(const Interruption& interruption) {
  return {PushHeader::kSettle, interruption.steps_done,
          (interruption.checkpoint ? 1 : 0) | (interruption.evaluation ? 2 : 0) | (interruption.stop ? 4 : 0)};
}
inline Interruption InterruptionOf(const PushHeader& header) {
  return {header.step, (header.detail & 1) != 0, (header.detail & 2) != 0, (header.detail & 4) != 0};
}

}  // namespace trireme

#endif  // TRIREME_PARALLEL_STRATEGIES_PARAMETER_SERVER_MESSAGES_H_

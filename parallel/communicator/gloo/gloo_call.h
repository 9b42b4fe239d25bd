// One call of one rank, as it tells its peers through the store when it takes long: from that they find out who is
// late, and who makes another call.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CALL_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CALL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trireme {

struct GlooCall {
  std::string description;  // "AllReduce of 4096 bytes of float32 by sum (call 3)"
  int64_t number = -1;      // of the calls that all ranks make, in their order; -1: between two ranks
  // Between two ranks; messages from one to the other are counted.
  int to = -1, from = -1;
  int64_t send_number = 0, send_bytes = 0;
  int64_t receive_number = 0, receive_bytes = 0;

  bool among_all() const { return number >= 0; }
  bool waits_for(int rank) const { return among_all() || to == rank || from == rank; }
  // The same call gets the same tag on all ranks, and another call, most probably, another: Gloo has messages meet by
  // tag, so those of different calls never do.
  uint32_t tag() const;
};

std::string Encode(const GlooCall& call);
std::optional<GlooCall> DecodeCall(const std::string& text);

// How much a rank has done in a channel.
struct GlooTally {
  int64_t calls = 0;                    // that all ranks make
  std::vector<int64_t> sent, received;  // messages, by place
};

std::string Encode(const GlooTally& tally);
std::optional<GlooTally> DecodeTally(const std::string& text);

// Where messages of a pair of ranks meet: those of another size, or out of order, do not. Apart from the slots that
// Gloo's own collectives use.
uint64_t MessageSlot(int64_t number, int64_t bytes);
// Of a call's own messages.
uint64_t CallSlot(uint32_t tag);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CALL_H_

// What the client and the server of a TCP store say to each other.
//
// A message is a list of strings: its size in four bytes, then each string's size in four bytes and its bytes, all
// numbers big-endian. A connection begins with a challenge in both directions:
//   server   Hello: a number that was never used before
//   client   Claim: job, rank and incarnation (a name that this process has made for itself), a number of its own, and
//            the proof that it knows the job's secret
//   server   {"welcome", proof of its own}, or {"refused", why}
// A proof (proof.h) is of who proves what, and of both numbers: it is good for this one connection and direction. A
// stranger learns nothing from either, not even the job's id. This keeps out whoever can connect; it does not hide or
// seal what is said, from somebody who sits on the wire. Then the client asks and the server answers, one at a time:
//   {"set", key, value}            {"done"}
//   {"set if absent", key, value}  {"value", the one that stands}
//   {"find", key}                  {"value", value} or {"absent"}
#ifndef TRIREME_PARALLEL_LAUNCH_STORE_MESSAGES_H_
#define TRIREME_PARALLEL_LAUNCH_STORE_MESSAGES_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace trireme {

using StoreMessage = std::vector<std::string>;

// Of a message with its size; larger ones end the connection. What is not proven yet is short.
constexpr size_t kLargestStoreMessage = size_t{64} << 20;
constexpr size_t kLargestClaim = 1024;
constexpr size_t kStoreMessageHead = 4;

std::string EncodeStoreMessage(const StoreMessage& message);
// Of the bytes behind the head. Nothing if they are no message.
std::optional<StoreMessage> DecodeStoreMessage(const std::string& body);
// `head` is of kStoreMessageHead bytes.
size_t BodySize(const std::string& head);

struct StoreClaim {
  std::string job;
  int rank = 0;
  std::string incarnation;
  std::string challenge;
  std::string proof;
};

std::string NewStoreChallenge();

StoreMessage HelloMessage(const std::string& challenge);
// Nothing if it is something else.
std::optional<std::string> ChallengeOfHello(const StoreMessage& message);

StoreMessage ClaimMessage(const StoreClaim& claim);
std::optional<StoreClaim> DecodeClaim(const StoreMessage& message);

// `of_server`: by whom. Challenges in the order of their making, the server's first.
std::string ProofOf(const std::string& secret, bool of_server, const StoreClaim& claim,
                    const std::string& challenge_of_server);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_STORE_MESSAGES_H_

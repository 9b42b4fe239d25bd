#include "parallel/launch/store_messages.h"

#include "absl/strings/numbers.h"
#include "parallel/launch/proof.h"

namespace trireme {
namespace {

constexpr char kProtocol[] = "trireme store 1";
constexpr size_t kProofBytes = sizeof(ProofBytes);

void AppendNumber(size_t number, std::string* bytes) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes->push_back(static_cast<char>(number >> shift & 0xff));
}

size_t NumberAt(const std::string& bytes, size_t at) {
  size_t number = 0;
  for (size_t i = 0; i < kStoreMessageHead; ++i) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

}  // namespace

std::string EncodeStoreMessage(const StoreMessage& message) {
  std::string bytes(kStoreMessageHead, '\0');
  for (const std::string& part : message) {
    AppendNumber(part.size(), &bytes);
    bytes += part;
  }
  std::string head;
  AppendNumber(bytes.size() - kStoreMessageHead, &head);
  return bytes.replace(0, kStoreMessageHead, head);
}

std::optional<StoreMessage> DecodeStoreMessage(const std::string& body) {
  StoreMessage message;
  for (size_t at = 0; at < body.size();) {
    if (body.size() - at < kStoreMessageHead) return std::nullopt;
    const size_t size = NumberAt(body, at);
    at += kStoreMessageHead;
    if (body.size() - at < size) return std::nullopt;
    message.push_back(body.substr(at, size));
    at += size;
  }
  return message;
}

size_t BodySize(const std::string& head) { return NumberAt(head, 0); }

std::string NewStoreChallenge() { return std::string(ViewOf(NewChallenge())); }

StoreMessage HelloMessage(const std::string& challenge) { return {kProtocol, challenge}; }

std::optional<std::string> ChallengeOfHello(const StoreMessage& message) {
  const bool valid = message.size() == 2 && message[0] == kProtocol && message[1].size() == kProofBytes;
  return valid ? std::make_optional(message[1]) : std::nullopt;
}

StoreMessage ClaimMessage(const StoreClaim& claim) {
  return {kProtocol, claim.job, std::to_string(claim.rank), claim.incarnation, claim.challenge, claim.proof};
}

std::optional<StoreClaim> DecodeClaim(const StoreMessage& message) {
  StoreClaim claim;
  if (message.size() != 6 || message[0] != kProtocol || !absl::SimpleAtoi(message[2], &claim.rank) ||
      message[4].size() != kProofBytes || message[5].size() != kProofBytes) {
    return std::nullopt;
  }
  claim.job = message[1];
  claim.incarnation = message[3];
  claim.challenge = message[4];
  claim.proof = message[5];
  return claim;
}

std::string ProofOf(const std::string& secret, bool of_server, const StoreClaim& claim,
                    const std::string& challenge_of_server) {
  // Sizes go in too, so that no two lists are the same bytes.
  const std::string text =
      EncodeStoreMessage({kProtocol, of_server ? "server" : "client", claim.job, std::to_string(claim.rank),
                          claim.incarnation, challenge_of_server, claim.challenge});
  return std::string(ViewOf(HmacSha256(secret, text)));
}

}  // namespace trireme

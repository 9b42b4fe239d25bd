#include "parallel/communicator/gloo/gloo_call.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/hash.h"

namespace trireme {
namespace {

// Gloo's collectives leave the upper 16 bits of a slot free.
constexpr uint64_t kMessages = uint64_t{1} << 63;
constexpr uint64_t kCalls = uint64_t{1} << 62;
constexpr int kSizeBits = 40;

}  // namespace

uint32_t GlooCall::tag() const {
  const uint64_t hash = StableHash(description);
  return static_cast<uint32_t>(hash ^ hash >> 32);
}

std::string Encode(const GlooCall& call) {
  const std::vector<int64_t> numbers = {
      call.number, call.to, call.send_number, call.send_bytes, call.from, call.receive_number, call.receive_bytes};
  return absl::StrCat(absl::StrJoin(numbers, " "), " ", call.description);
}

std::optional<GlooCall> DecodeCall(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(' ', 7));
  if (parts.size() != 8) return std::nullopt;
  GlooCall call;
  const bool read = absl::SimpleAtoi(parts[0], &call.number) && absl::SimpleAtoi(parts[1], &call.to) &&
                    absl::SimpleAtoi(parts[2], &call.send_number) && absl::SimpleAtoi(parts[3], &call.send_bytes) &&
                    absl::SimpleAtoi(parts[4], &call.from) && absl::SimpleAtoi(parts[5], &call.receive_number) &&
                    absl::SimpleAtoi(parts[6], &call.receive_bytes);
  if (!read) return std::nullopt;
  call.description = parts[7];
  return call;
}

std::string Encode(const GlooTally& tally) {
  return absl::StrCat(tally.calls, "/", absl::StrJoin(tally.sent, " "), "/", absl::StrJoin(tally.received, " "));
}

std::optional<GlooTally> DecodeTally(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  GlooTally tally;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &tally.calls)) return std::nullopt;
  const auto read = [](const std::string& list, std::vector<int64_t>* numbers) {
    for (const absl::string_view word : absl::StrSplit(list, ' ')) {
      if (!absl::SimpleAtoi(word, &numbers->emplace_back())) return false;
    }
    return true;
  };
  if (!read(parts[1], &tally.sent) || !read(parts[2], &tally.received)) return std::nullopt;
  return tally.sent.size() == tally.received.size() ? std::make_optional(tally) : std::nullopt;
}

uint64_t MessageSlot(int64_t number, int64_t bytes) {
  const uint64_t size = static_cast<uint64_t>(bytes) & ((uint64_t{1} << kSizeBits) - 1);
  return kMessages | (static_cast<uint64_t>(number) & 0xffff) << kSizeBits | size;
}

uint64_t CallSlot(uint32_t tag) { return kCalls | tag; }

}  // namespace trireme

// How one process proves to another that it knows the job's secret, and sends nothing that tells it to a stranger: it
// answers a challenge, which is a number that was never used before, by the HMAC-SHA256 (RFC 2104) of the challenge and
// of what else the answer is to be good for, under the secret.
#ifndef TRIREME_PARALLEL_LAUNCH_PROOF_H_
#define TRIREME_PARALLEL_LAUNCH_PROOF_H_

#include <array>
#include <string>

#include "absl/strings/string_view.h"

namespace trireme {

// A challenge or an answer.
using ProofBytes = std::array<unsigned char, 32>;

ProofBytes NewChallenge();
ProofBytes HmacSha256(const std::string& secret, const std::string& text);

// As long as `bytes` lives.
absl::string_view ViewOf(const ProofBytes& bytes);

// In a time that does not depend on the contents.
bool AreSame(absl::string_view a, absl::string_view b);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_LAUNCH_PROOF_H_

// How two ranks prove to one another that they belong to the same job, without telling a stranger anything: each sends
// a number that was never used before, and gets back its HMAC-SHA256 (RFC 2104) under the job's secret. Who sends what
// to whom in which channel goes in too, so that an answer is good for one place only.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHALLENGE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHALLENGE_H_

#include <array>
#include <string>

namespace trireme {

using ChallengeBytes = std::array<unsigned char, 32>;

ChallengeBytes NewChallenge();

// What `from` answers to `to`.
ChallengeBytes AnswerTo(const ChallengeBytes& challenge, const std::string& secret, const std::string& channel,
                        int from, int to);

// In a time that does not depend on the contents.
bool SameBytes(const ChallengeBytes& a, const ChallengeBytes& b);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHALLENGE_H_

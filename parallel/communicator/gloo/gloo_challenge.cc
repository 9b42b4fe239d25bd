#include "parallel/communicator/gloo/gloo_challenge.h"

#include "absl/strings/str_cat.h"

namespace trireme {

ProofBytes AnswerTo(const ProofBytes& challenge, const std::string& secret, const std::string& channel, int from,
                    int to) {
  return HmacSha256(secret, absl::StrCat("trireme gloo 1\n", channel, "\n", from, "\n", to, "\n", ViewOf(challenge)));
}

}  // namespace trireme

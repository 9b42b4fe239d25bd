#include "parallel/communicator/gloo/gloo_challenge.h"

#include <glog/logging.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include "absl/strings/str_cat.h"

namespace trireme {

ChallengeBytes NewChallenge() {
  ChallengeBytes bytes;
  CHECK_EQ(getrandom(bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return bytes;
}

ChallengeBytes AnswerTo(const ChallengeBytes& challenge, const std::string& secret, const std::string& channel,
                        int from, int to) {
  const std::string message =
      absl::StrCat("trireme gloo 1\n", channel, "\n", from, "\n", to, "\n",
                   absl::string_view(reinterpret_cast<const char*>(challenge.data()), challenge.size()));
  ChallengeBytes answer;
  unsigned int size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), answer.data(), &size);
  CHECK(made != nullptr && size == answer.size()) << "libcrypto has no HMAC-SHA256";
  return answer;
}

bool SameBytes(const ChallengeBytes& a, const ChallengeBytes& b) { return CRYPTO_memcmp(a.data(), b.data(), 32) == 0; }

}  // namespace trireme

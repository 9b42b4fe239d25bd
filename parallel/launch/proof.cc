#include "parallel/launch/proof.h"

#include <glog/logging.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

namespace trireme {

ProofBytes NewChallenge() {
  ProofBytes bytes;
  CHECK_EQ(getrandom(bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return bytes;
}

ProofBytes HmacSha256(const std::string& secret, const std::string& text) {
  ProofBytes bytes;
  unsigned int size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes.data(), &size);
  CHECK(made != nullptr && size == bytes.size()) << "libcrypto has no HMAC-SHA256";
  return bytes;
}

absl::string_view ViewOf(const ProofBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool AreSame(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace trireme

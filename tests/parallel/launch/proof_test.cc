// Proofs that a secret is known.
#include "parallel/launch/proof.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace trireme {
namespace {

// RFC 4231, test cases 1, 2, 3 and 6.
TEST(ProofTest, AnswersAreThoseOfTheStandard) {
  const struct {
    std::string secret, text, answer;
  } kCases[] = {
      {std::string(20, '\x0b'), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(absl::BytesToHexString(ViewOf(HmacSha256(c.secret, c.text))), c.answer);
  }
}

TEST(ProofTest, ChallengesDoNotComeTwice) {
  const ProofBytes one = NewChallenge(), other = NewChallenge();
  EXPECT_NE(one, other);
  EXPECT_FALSE(AreSame(ViewOf(one), ViewOf(other)));
}

TEST(ProofTest, OnlyWhatIsTheSameIs) {
  EXPECT_TRUE(AreSame("", ""));
  EXPECT_TRUE(AreSame("proof", "proof"));
  for (const char* wrong : {"", "proo", "proofs", "Proof", "prooF"}) EXPECT_FALSE(AreSame("proof", wrong)) << wrong;
}

}  // namespace
}  // namespace trireme

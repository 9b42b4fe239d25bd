// How the two ends of a connection prove to one another that they belong to the same job (see parallel/launch/proof.h):
// who answers whom in which channel goes in too, so that an answer is good for one place only.
#ifndef TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHALLENGE_H_
#define TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHALLENGE_H_

#include <string>

#include "parallel/launch/proof.h"

namespace trireme {

// What `from` answers to `to`.
ProofBytes AnswerTo(const ProofBytes& challenge, const std::string& secret, const std::string& channel, int from,
                    int to);

}  // namespace trireme

#endif  // TRIREME_PARALLEL_COMMUNICATOR_GLOO_GLOO_CHALLENGE_H_

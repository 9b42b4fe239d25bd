// Compares a detector with what a reference computed for it.
#ifndef TRIREME_TESTS_GOLDEN_DETECTOR_GOLDEN_H_
#define TRIREME_TESTS_GOLDEN_DETECTOR_GOLDEN_H_

#include <map>
#include <string>
#include <vector>

namespace trireme {

struct DetectorGolden {
  std::string name;                   // of the file
  std::string config;                 // a shipped one,
  std::vector<std::string> settings;  // changed as --set changes it
  // The reference's name for a loss of ours, where they differ.
  std::map<std::string, std::string> loss_names;
};

// With the reference's weights, read by tools/conversion, what the heads put out, every loss, every parameter's
// gradient and the detections have to be the reference's, as far as the golden has them: off by no more than 1e-4 of
// the tensor's norm, of the loss, of the detection's score and of the image's longer side. Where the golden says that
// the reference's own float32 is off from its float64 by more than 2e-5, as below max-pools, a gradient may be off by
// four times that. Prints how far off they are.
void ExpectAgrees(const DetectorGolden& golden);

}  // namespace trireme

#endif  // TRIREME_TESTS_GOLDEN_DETECTOR_GOLDEN_H_

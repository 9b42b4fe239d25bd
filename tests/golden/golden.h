// A golden: what torchvision or Darknet computed for a detector, of weights and images that are not stored, but for
// some biases, and computed here as tests/golden/counter_random.py computes them. make_goldens.py and
// make_darknet_goldens.py write these files.
#ifndef TRIREME_TESTS_GOLDEN_GOLDEN_H_
#define TRIREME_TESTS_GOLDEN_GOLDEN_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/api/batch.h"
#include "core/device/device.h"
#include "core/train/safetensors.h"
#include "tools/conversion/darknet_file.h"

namespace trireme {

class Golden {
 public:
  // Of tests/golden/data. What is wrong with it ends the test program.
  explicit Golden(const std::string& name);

  bool is_of_darknet() const { return !darknet_order_.empty(); }
  // torchvision's state dict, or the file that Darknet read.
  SafetensorsContent Weights() const;
  DarknetFile DarknetWeights() const;
  // The images with their objects.
  Batch MakeBatch(Device& device) const;
  int64_t num_images() const { return static_cast<int64_t>(Values("images")[0]); }

  bool Has(const std::string& name) const { return arrays_.count(name) > 0; }
  const std::vector<float>& Values(const std::string& name) const;
  // Those that begin so, without it.
  std::vector<std::string> NamesUnder(const std::string& prefix) const;

 private:
  NamedArray WeightsNamed(const std::string& name) const;
  std::vector<uint8_t> MakeImages(int64_t count, int64_t height, int64_t width) const;

  std::map<std::string, NamedArray> arrays_;
  std::vector<std::string> darknet_order_;  // of the weights in the file
};

// Of golden_file.py: how large a tensor is, how far a tensor is from a digest, relative to its norm. `values` in
// torch's order.
int64_t SizeOfDigest(const std::vector<float>& digest);
double DistanceFrom(const std::vector<float>& digest, const std::string& name, const std::vector<float>& values,
                    double least_norm = 0);

}  // namespace trireme

#endif  // TRIREME_TESTS_GOLDEN_GOLDEN_H_

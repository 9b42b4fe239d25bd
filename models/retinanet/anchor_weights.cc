#include "models/retinanet/anchor_weights.h"

#include "core/device/block.h"
#include "models/matching/threshold_matching.h"

namespace trireme {
namespace {

struct WeighImage {
  struct Shared {};

  int64_t num_anchors;
  bool by_image;
  const int32_t* match;
  float* classification;
  float* regression;

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t image) const {
    const int32_t* own = match + image * num_anchors;
    int32_t mine = 0, positives;
    for (int64_t a = block.rank(); a < num_anchors; a += block.size()) mine += own[a] >= 0;
    block.ExclusiveSum(mine, &positives);
    const float weight = 1.0f / static_cast<float>(by_image && positives > 1 ? positives : 1);
    for (int64_t a = block.rank(); a < num_anchors; a += block.size()) {
      classification[image * num_anchors + a] = own[a] != kIgnored ? weight : 0.0f;
      regression[image * num_anchors + a] = own[a] >= 0 ? weight : 0.0f;
    }
  }
};

}  // namespace

AnchorWeights WeighAnchors(const Tensor& matches, bool by_image, Stream& stream) {
  AnchorWeights weights;
  weights.classification = Tensor::Empty(stream.device(), matches.shape());
  weights.regression = Tensor::Empty(stream.device(), matches.shape());
  ForBlocks<512>(stream, matches.dim(0),
                 WeighImage{matches.dim(1), by_image, matches.data<int32_t>(), weights.classification.data<float>(),
                            weights.regression.data<float>()});
  return weights;
}

}  // namespace trireme

#include "models/ssd/hard_negative_mining.h"

#include <cmath>

#include "core/base/trace.h"
#include "core/device/block.h"
#include "models/selection/top_selection.h"

namespace trireme {
namespace {

struct Background {
  const int32_t* label;
  const float* loss;

  TRIREME_HD bool operator()(int64_t anchor, uint32_t* key) const {
    *key = SortKey(loss[anchor]);
    return label[anchor] == 0;
  }
};

struct TakeAnchor {
  float* weight;
  TRIREME_HD void operator()(int64_t anchor, uint32_t /*key*/) const { weight[anchor] = 1.0f; }
};

struct MineImage {
  using Shared = TopSelectionShared;

  int64_t num_anchors;
  float negatives_per_positive;
  const int32_t* label;
  const float* loss;
  float* weight;
  float* positives;

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared& shared, int64_t image) const {
    const Background background{label + image * num_anchors, loss + image * num_anchors};
    float* image_weight = weight + image * num_anchors;
    int32_t mine = 0, objects;
    for (int64_t a = block.rank(); a < num_anchors; a += block.size()) {
      const bool object = background.label[a] != 0;
      image_weight[a] = object ? 1.0f : 0.0f;
      mine += object;
    }
    block.ExclusiveSum(mine, &objects);
    if (block.rank() == 0) positives[image] = static_cast<float>(objects);
    int64_t wanted = static_cast<int64_t>(ceilf(negatives_per_positive * static_cast<float>(objects)));
    if (wanted > num_anchors - objects) wanted = num_anchors - objects;
    if (wanted <= 0) return;
    const TopSelection top = SelectTop(block, shared, num_anchors, static_cast<int32_t>(wanted), background);
    ForTop(block, top, num_anchors, background, TakeAnchor{image_weight});
  }
};

}  // namespace

MinedAnchors MineHardNegatives(const Tensor& label, const Tensor& loss, float negatives_per_positive, Stream& stream) {
  const TraceSpan span(TraceKind::kForward, "mine hard negatives");
  const int64_t num_images = label.dim(0), num_anchors = label.dim(1);
  CHECK_EQ(loss.size(), label.size());
  MinedAnchors mined;
  mined.weight = Tensor::Empty(stream.device(), label.shape());
  mined.positives = Tensor::Empty(stream.device(), {num_images});
  ForBlocks<512>(stream, num_images,
                 MineImage{num_anchors, negatives_per_positive, label.data<int32_t>(), loss.data<float>(),
                           mined.weight.data<float>(), mined.positives.data<float>()});
  return mined;
}

}  // namespace trireme

#include "models/sampling/balanced_sample.h"

#include "core/base/random.h"
#include "core/device/block.h"
#include "core/device/parallel_for.h"
#include "models/matching/threshold_matching.h"
#include "models/selection/top_selection.h"

namespace trireme {
namespace {

constexpr int64_t kNumbersOfBlock = 4;

// uint32 numbers, stored as int32 [N, A].
Tensor Draw(const Tensor& random_keys, int64_t count, const SampleOptions& options, Stream& stream) {
  const int64_t num_images = random_keys.dim(0), blocks = (count + kNumbersOfBlock - 1) / kNumbersOfBlock;
  const Tensor draws = Tensor::Empty(stream.device(), {num_images, count}, DataType::kInt32);
  const int64_t* keys = random_keys.data<int64_t>();
  int32_t* draw = draws.data<int32_t>();
  const uint64_t seed = options.seed, number = options.stream_number;
  ParallelFor(
      stream, num_images * blocks,
      [=] TRIREME_HD(int64_t i) {
        const int64_t image = i / blocks, first = i % blocks * kNumbersOfBlock;
        Random random(seed, RandomUse::kSampling, static_cast<uint64_t>(keys[image]), number);
        random.SkipTo(static_cast<uint32_t>(i % blocks));
        for (int64_t k = first; k < first + kNumbersOfBlock && k < count; ++k) {
          draw[image * count + k] = static_cast<int32_t>(random.NextUint32());
        }
      },
      /*grain=*/128);
  return draws;
}

struct Positives {
  const int32_t* match;
  const int32_t* draw;
  TRIREME_HD bool operator()(int64_t i, uint32_t* key) const {
    *key = static_cast<uint32_t>(draw[i]);
    return match[i] >= 0;
  }
};

struct Negatives {
  const int32_t* match;
  const int32_t* draw;
  TRIREME_HD bool operator()(int64_t i, uint32_t* key) const {
    *key = static_cast<uint32_t>(draw[i]);
    return match[i] == kBackground;
  }
};

struct Choose {
  float* chosen;
  float* positive;  // null for background
  TRIREME_HD void operator()(int64_t i, uint32_t /*key*/) const {
    chosen[i] = 1.0f;
    if (positive != nullptr) positive[i] = 1.0f;
  }
};

struct SampleImage {
  using Shared = TopSelectionShared;

  int64_t num_boxes;
  int32_t count, most_positives;
  const int32_t* matches;
  const int32_t* draws;
  float* chosen;
  float* positive;
  float* counts;

  template <class Block, class Keys>
  TRIREME_HD void Take(Block& block, Shared& shared, int32_t wanted, const Keys& keys, const Choose& choose) const {
    if (wanted <= 0) return;
    const TopSelection top = SelectTop(block, shared, num_boxes, wanted, keys);
    ForTop(block, top, num_boxes, keys, choose);
    block.Sync();
  }

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared& shared, int64_t image) const {
    const int32_t* match = matches + image * num_boxes;
    const int32_t* draw = draws + image * num_boxes;
    float* own = chosen + image * num_boxes;
    float* own_positive = positive + image * num_boxes;
    int32_t mine = 0, my_background = 0, positives, background;
    for (int64_t i = block.rank(); i < num_boxes; i += block.size()) {
      own[i] = own_positive[i] = 0.0f;
      mine += match[i] >= 0;
      my_background += match[i] == kBackground;
    }
    block.ExclusiveSum(mine, &positives);
    block.ExclusiveSum(my_background, &background);
    if (positives > most_positives) positives = most_positives;
    if (background > count - positives) background = count - positives;
    block.Sync();
    Take(block, shared, positives, Positives{match, draw}, Choose{own, own_positive});
    Take(block, shared, background, Negatives{match, draw}, Choose{own, nullptr});
    if (block.rank() == 0) counts[image] = static_cast<float>(positives + background);
  }
};

struct CompactImage {
  struct Shared {};

  int64_t num_boxes, count;
  const float* chosen;
  int32_t* indices;

  template <class Block>
  TRIREME_HD void Run(Block& block, Shared&, int64_t image) const {
    const float* own = chosen + image * num_boxes;
    int32_t* to = indices + image * count;
    int32_t before = 0;
    for (int64_t begin = 0; begin < num_boxes; begin += block.size()) {
      const int64_t i = begin + block.rank();
      const bool is_chosen = i < num_boxes && own[i] != 0.0f;
      int32_t sum;
      const int32_t place = before + block.ExclusiveSum(is_chosen ? 1 : 0, &sum);
      if (is_chosen && place < count) to[place] = static_cast<int32_t>(i);
      before += sum;
    }
    for (int64_t place = before + block.rank(); place < count; place += block.size()) to[place] = -1;
  }
};

}  // namespace

BoxSample SampleBalanced(const Tensor& matches, const Tensor& random_keys, const SampleOptions& options,
                         Stream& stream) {
  const int64_t num_images = matches.dim(0), num_boxes = matches.dim(1);
  CHECK_EQ(random_keys.size(), num_images);
  CHECK(options.count > 0 && options.positive_share >= 0 && options.positive_share <= 1);
  const Tensor draws = Draw(random_keys, num_boxes, options, stream);
  BoxSample sample;
  sample.chosen = Tensor::Empty(stream.device(), matches.shape());
  sample.positive = Tensor::Empty(stream.device(), matches.shape());
  sample.counts = Tensor::Empty(stream.device(), {num_images});
  const auto most_positives = static_cast<int32_t>(static_cast<double>(options.positive_share) * options.count);
  ForBlocks<512>(stream, num_images,
                 SampleImage{num_boxes, options.count, most_positives, matches.data<int32_t>(), draws.data<int32_t>(),
                             sample.chosen.data<float>(), sample.positive.data<float>(), sample.counts.data<float>()});
  return sample;
}

Tensor IndicesOf(const Tensor& chosen, int64_t count, Stream& stream) {
  const Tensor indices = Tensor::Empty(stream.device(), {chosen.dim(0), count}, DataType::kInt32);
  ForBlocks<512>(stream, chosen.dim(0),
                 CompactImage{chosen.dim(1), count, chosen.data<float>(), indices.data<int32_t>()});
  return indices;
}

}  // namespace trireme

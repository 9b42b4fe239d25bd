#include "data/loader/cached_dataset.h"

#include <gtest/gtest.h>

#include "tests/data/loader_fixture.h"

namespace trireme {
namespace {

TEST(CachedDataset, KeepsTheFirstThatFit) {
  auto owned = std::make_unique<PlainDataset>(5, std::set<int64_t>{4});
  const PlainDataset& plain = *owned;
  const int64_t bytes = 2 * kWidth * kHeight * 3;
  const CachedDataset cached(std::move(owned), 3 * bytes + 1);
  EXPECT_EQ(cached.size(), 5);
  EXPECT_EQ(cached.max_objects(), 3);
  EXPECT_EQ(cached.class_names(), plain.class_names());
  EXPECT_EQ(cached.category_ids(), plain.category_ids());
  for (int round = 0; round < 3; ++round) {
    for (int64_t i = 0; i < 4; ++i) {
      Sample direct, sample;
      ASSERT_TRUE(plain.Get(i, &direct).ok());
      ASSERT_TRUE(cached.Get(i, &sample).ok());
      EXPECT_EQ(sample.source->data, direct.source->data);
      EXPECT_EQ(sample.width(), direct.width());
      EXPECT_EQ(sample.objects.size(), direct.objects.size());
      EXPECT_EQ(sample.id, direct.id);
      EXPECT_EQ(sample.name, direct.name);
      sample.SetImage(Image(1, 1));  // the caller's own
    }
    Sample sample;
    EXPECT_FALSE(cached.Get(4, &sample).ok());
  }
  EXPECT_EQ(cached.cached_images(), 3);
  EXPECT_EQ(cached.cached_bytes(), 3 * bytes);
  // 12 direct reads, 4 of the first round, one a round of the image that did not fit, and the broken one.
  EXPECT_EQ(plain.reads, 12 + 4 + 2 + 3);
}

}  // namespace
}  // namespace trireme

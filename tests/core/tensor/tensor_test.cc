#include "core/tensor/tensor.h"

#include <gtest/gtest.h>

#include <numeric>

namespace trireme {
namespace {

class TensorTest : public ::testing::Test {
 protected:
  Tensor Counting(const Shape& shape) {
    std::vector<float> values(shape.size());
    std::iota(values.begin(), values.end(), 0.0f);
    return Tensor::From(*device_, shape, values);
  }
  Stream& stream() { return device_->compute_stream(); }

  std::unique_ptr<Device> device_ = *MakeDevice("cpu", 1);
};

std::vector<float> Range(int begin, int end) {
  std::vector<float> values(end - begin);
  std::iota(values.begin(), values.end(), static_cast<float>(begin));
  return values;
}

TEST(ShapeTest, CountsAndCompares) {
  EXPECT_EQ(Shape().size(), 1);
  EXPECT_EQ(Shape().rank(), 0);
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.size(), 30);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-1], 5);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_EQ(shape.ToString(), "[2, 3, 5]");
  EXPECT_EQ((Shape{4, 0, 2}.size()), 0);
  EXPECT_EQ(shape, (Shape{2, 3, 5}));
  EXPECT_NE(shape, (Shape{2, 3}));
  EXPECT_NE(shape, (Shape{2, 3, 6}));
}

TEST_F(TensorTest, ValuesComeBackOfEveryType) {
  EXPECT_EQ(Counting({2, 3}).ToVector<float>(), Range(0, 6));
  EXPECT_EQ(Tensor::From<int32_t>(*device_, {2}, {-5, 7}).ToVector<int32_t>(), (std::vector<int32_t>{-5, 7}));
  EXPECT_EQ(Tensor::From<uint8_t>(*device_, {3}, {0, 128, 255}).ToVector<uint8_t>(),
            (std::vector<uint8_t>{0, 128, 255}));
  EXPECT_EQ(Tensor::From<int64_t>(*device_, {1}, {int64_t{1} << 40}).ToVector<int64_t>(),
            (std::vector<int64_t>{int64_t{1} << 40}));
  EXPECT_EQ(Tensor::Zeros(*device_, {5}).ToVector<float>(), std::vector<float>(5));
  EXPECT_EQ(Tensor::Zeros(*device_, {0, 4}).ToVector<float>(), std::vector<float>());
  EXPECT_FALSE(Tensor().defined());
}

TEST_F(TensorTest, BytesFollowTheType) {
  EXPECT_EQ(Tensor::Empty(*device_, {3}, DataType::kBfloat16).bytes(), 6);
  EXPECT_EQ(Tensor::Empty(*device_, {3}, DataType::kInt64).bytes(), 24);
  EXPECT_EQ(Tensor::Empty(*device_, {3, 5}, DataType::kUint8).bytes(), 15);
}

TEST_F(TensorTest, ViewsShareTheirStorage) {
  const Tensor whole = Counting({4, 3, 2});
  const Tensor rows = whole.Slice(1, 3);
  EXPECT_EQ(rows.shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(rows.ToVector<float>(), Range(6, 18));
  const Tensor of_view = rows.Reshape({3, 4}).Slice(1, 2).Flat(1, 3);
  EXPECT_EQ(of_view.ToVector<float>(), Range(11, 13));
  of_view.Zero(stream());
  EXPECT_EQ(whole.data<float>()[11], 0);
  EXPECT_EQ(whole.data<float>()[10], 10);
  EXPECT_EQ(whole.data<float>()[13], 13);
  EXPECT_EQ(whole.Slice(2, 2).size(), 0);
  EXPECT_EQ(whole.Flat(0, 24).shape(), (Shape{24}));
}

TEST_F(TensorTest, AViewKeepsTheStorageAlive) {
  Tensor view;
  {
    const Tensor whole = Counting({1000});
    view = whole.Slice(500, 510);
  }
  const Tensor other = Tensor::Zeros(*device_, {1000});
  EXPECT_EQ(view.ToVector<float>(), Range(500, 510));
}

TEST_F(TensorTest, UniqueCountsTheHandles) {
  Tensor tensor = Counting({4});
  EXPECT_TRUE(tensor.unique());
  {
    const Tensor view = tensor.Slice(0, 1);
    EXPECT_FALSE(tensor.unique());
    EXPECT_FALSE(view.unique());
  }
  EXPECT_TRUE(tensor.unique());
}

TEST_F(TensorTest, CopiesBetweenViews) {
  const Tensor from = Counting({6}), to = Tensor::Zeros(*device_, {2, 4});
  to.Slice(1, 2).CopyFrom(from.Flat(1, 5), stream());
  EXPECT_EQ(to.ToVector<float>(), (std::vector<float>{0, 0, 0, 0, 1, 2, 3, 4}));
}

TEST_F(TensorTest, MemoryGoesBackAndIsCountedByKind) {
  const auto in_use = [&](MemoryKind kind) { return device_->memory().in_use[static_cast<int>(kind)]; };
  {
    const Tensor parameters = Tensor::Empty(*device_, {256}, DataType::kFloat32, MemoryKind::kParameters);
    EXPECT_EQ(in_use(MemoryKind::kParameters), 1024);
    EXPECT_EQ(in_use(MemoryKind::kActivations), 0);
  }
  EXPECT_EQ(in_use(MemoryKind::kParameters), 0);
}

using TensorDeathTest = TensorTest;

TEST_F(TensorDeathTest, MisuseIsAProgrammersError) {
  const Tensor tensor = Counting({4, 3});
  EXPECT_DEATH(tensor.Reshape({5}), "\\[4, 3\\] as \\[5\\]");
  EXPECT_DEATH(tensor.Slice(2, 5), "2..5 of \\[4, 3\\]");
  EXPECT_DEATH(tensor.Slice(3, 2), "3..2");
  EXPECT_DEATH(tensor.ToVector<int32_t>(), "a tensor of float32");
  EXPECT_DEATH(Tensor::From<float>(*device_, {3}, {1, 2}), "");
}

}  // namespace
}  // namespace trireme

#include "core/image/render.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/tensor/tensor.h"
#include "tests/core/image/pixels.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

using testing::Noise;

// The rule of the header, in doubles.
double Sampled(const Image& image, double x, double y, int c) {
  x = std::min(std::max(x - 0.5, 0.0), image.width - 1.0);
  y = std::min(std::max(y - 0.5, 0.0), image.height - 1.0);
  const int x0 = static_cast<int>(x), y0 = static_cast<int>(y);
  const int x1 = std::min(x0 + 1, image.width - 1), y1 = std::min(y0 + 1, image.height - 1);
  const double u = x - x0, v = y - y0;
  return (1 - v) * ((1 - u) * image.pixel(x0, y0)[c] + u * image.pixel(x1, y0)[c]) +
         v * ((1 - u) * image.pixel(x0, y1)[c] + u * image.pixel(x1, y1)[c]);
}

TEST(ResizeImage, IsBilinearWithHalfPixelCentres) {
  const int shapes[][4] = {{1, 1, 5, 3}, {7, 5, 3, 4},  {7, 5, 14, 10}, {64, 48, 30, 31},   {3, 90, 100, 2},
                           {5, 5, 1, 1}, {33, 1, 8, 8}, {16, 16, 8, 8}, {31, 17, 150, 129}, {900, 3, 321, 2}};
  for (const auto& [from_w, from_h, to_w, to_h] : shapes) {
    const Image image = Noise(from_w, from_h, 5);
    const Image resized = ResizeImage(image, to_w, to_h);
    ASSERT_EQ(resized.width, to_w);
    ASSERT_EQ(resized.height, to_h);
    for (int y = 0; y < to_h; ++y) {
      for (int x = 0; x < to_w; ++x) {
        for (int c = 0; c < 3; ++c) {
          const double expected = Sampled(image, (x + 0.5) * from_w / to_w, (y + 0.5) * from_h / to_h, c);
          ASSERT_NEAR(resized.pixel(x, y)[c], expected, 0.55) << from_w << "x" << from_h << " at " << x << "," << y;
        }
      }
    }
  }
}

TEST(ResizeImage, KeepsAnImageOfTheSameSizeAndAPlainOne) {
  const Image image = Noise(19, 11, 6);
  EXPECT_EQ(ResizeImage(image, 19, 11).data, image.data);
  Image plain(9, 9);
  std::fill(plain.data.begin(), plain.data.end(), uint8_t{201});
  for (const uint8_t value : ResizeImage(plain, 23, 4).data) EXPECT_EQ(value, 201);
}

TEST(RenderImage, SamplesAWindowAndFillsBeyondTheImage) {
  const Image image = Noise(20, 10, 7);
  const Colour fill = {1, 2, 3};
  const Box windows[] = {{-10, -5, 30, 15},    {5, 2, 12, 9},   {15, -3, 27, 4},
                         {-50, -50, -20, -20}, {30, 0, 40, 10}, {3.25f, 1.5f, 9.75f, 8.125f}};
  for (const Box& window : windows) {
    for (const bool mirrored : {false, true}) {
      AugmentationPlan plan(20, 10);
      ASSERT_TRUE(plan.ShowWindow(window, 40, 30, fill));
      if (mirrored) plan.MirrorLeftRight();
      Image part(16, 12);
      RenderImage(image, plan, 16, 12, part.data.data());
      for (int y = 0; y < 12; ++y) {
        for (int x = 0; x < 16; ++x) {
          const double column = mirrored ? 15.5 - x : x + 0.5;
          const double at_x = window.x1 + column * window.width() / 16,
                       at_y = window.y1 + (y + 0.5) * window.height() / 12;
          const bool inside = at_x >= 0 && at_x < 20 && at_y >= 0 && at_y < 10;
          for (int c = 0; c < 3; ++c) {
            ASSERT_NEAR(part.pixel(x, y)[c], inside ? Sampled(image, at_x, at_y, c) : fill[c], 0.55) << x << "," << y;
          }
        }
      }
    }
  }
}

AugmentationPlan DrawPlan(int width, int height, Random* random) {
  AugmentationPlan plan(width, height);
  const Colour fill = {12, 34, 56};
  for (int i = 0; i < 3; ++i) {
    testing::WholePixelStep::Draw(plan.width(), plan.height(), random).Of(&plan, fill);
    const float w = static_cast<float>(plan.width()), h = static_cast<float>(plan.height());
    if (random->Chance(0.3f)) {
      const float x = random->Uniform(-0.3f * w, 0.5f * w), y = random->Uniform(-0.3f * h, 0.5f * h);
      plan.ShowWindow({x, y, x + random->Uniform(0.1f, 1.5f) * w, y + random->Uniform(0.1f, 1.5f) * h}, 40, 30, fill);
    }
    if (random->Chance(0.5f)) plan.AddColour(ColourOperation::Hue(random->Uniform(-180, 180)));
    if (random->Chance(0.5f)) plan.AddColour(ColourOperation::Saturation(random->Uniform(0.5f, 1.5f)));
    if (random->Chance(0.5f)) plan.AddColour(ColourOperation::Contrast(random->Uniform(0.5f, 1.5f)));
  }
  return plan;
}

// On any device and number of threads, from packed parts of the sources: the bits of RenderImage.
void ExpectBatchIsImages(Device& device, int width, int height) {
  constexpr int kCount = 40;
  Random random(width, RandomUse::kAugmentation);
  std::vector<RenderJob> jobs;
  std::vector<uint8_t> sources, expected;
  for (int i = 0; i < kCount; ++i) {
    const Image image = Noise(1 + static_cast<int>(random.Below(90)), 1 + static_cast<int>(random.Below(60)), 100 + i);
    const AugmentationPlan plan = DrawPlan(image.width, image.height, &random);
    Image rendered(width, height);
    RenderImage(image, plan, width, height, rendered.data.data());
    expected.insert(expected.end(), rendered.data.begin(), rendered.data.end());
    RenderJob job = MakeRenderJob(plan, width, height);
    const int64_t begin = static_cast<int64_t>(sources.size());
    job.PlaceSource(begin, 3 * job.region.width, job.region.bytes());
    sources.resize(sources.size() + static_cast<size_t>(job.region.bytes()));
    CopyRegion(image, job.region, sources.data() + begin);
    jobs.push_back(job);
  }
  const auto on_device = [&device](const void* values, size_t bytes) {
    const Tensor tensor = Tensor::Empty(device, {static_cast<int64_t>(bytes)}, DataType::kUint8);
    tensor.CopyFromHost(values);
    return tensor;
  };
  const Tensor device_jobs = on_device(jobs.data(), jobs.size() * sizeof(RenderJob));
  const Tensor device_sources = on_device(sources.data(), sources.size());
  const Tensor to = Tensor::Empty(device, {kCount, height, width, 3}, DataType::kUint8);
  RenderBatch(static_cast<const RenderJob*>(device_jobs.raw()), kCount, device_sources.data<uint8_t>(), width, height,
              to.data<uint8_t>(), device.compute_stream());
  EXPECT_EQ(to.ToVector<uint8_t>(), expected);
}

class RenderBatchTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RenderBatchTest, IsRenderImageBitForBit) {
  for (const int threads : {1, 2}) {
    auto device = testing::NewTestDevice(GetParam(), threads);
    for (const auto& [width, height] : {std::pair{1, 1}, {63, 5}, {64, 64}, {65, 30}, {200, 100}}) {
      ExpectBatchIsImages(*device, width, height);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, RenderBatchTest, ::testing::ValuesIn(testing::TestDevices()));

}  // namespace
}  // namespace trireme

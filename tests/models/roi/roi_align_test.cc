#include "models/roi/roi_align.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/api/sample.h"
#include "tests/core/ops/gradient_check.h"
#include "tests/core/testing/devices.h"
#include "tests/models/testing/random_boxes.h"

namespace trireme {
namespace {

struct Map {
  int64_t height, width;
  int stride;
  std::vector<float> values;  // [N, height, width, channels]
};

// One point of one channel, as torchvision's bilinear_interpolate has it, in float64.
double Point(const Map& map, int64_t channels, int64_t image, int64_t c, double y, double x) {
  const double height = static_cast<double>(map.height), width = static_cast<double>(map.width);
  if (y < -1 || y > height || x < -1 || x > width) return 0;
  y = std::max(y, 0.0);
  x = std::max(x, 0.0);
  int64_t top = static_cast<int64_t>(y), left = static_cast<int64_t>(x), bottom = top + 1, right = left + 1;
  if (top >= map.height - 1) {
    top = bottom = map.height - 1;
    y = static_cast<double>(top);
  }
  if (left >= map.width - 1) {
    left = right = map.width - 1;
    x = static_cast<double>(left);
  }
  const double dy = y - static_cast<double>(top), dx = x - static_cast<double>(left);
  const auto at = [&](int64_t row, int64_t column) {
    return static_cast<double>(map.values[((image * map.height + row) * map.width + column) * channels + c]);
  };
  return (1 - dy) * ((1 - dx) * at(top, left) + dx * at(top, right)) +
         dy * ((1 - dx) * at(bottom, left) + dx * at(bottom, right));
}

// The level by its logarithm.
int LevelOf(const Box& box, const std::vector<Map>& maps, const RoiAlignOptions& options) {
  const double level =
      std::floor(options.canonical_level + std::log2(std::sqrt(box.area()) / options.canonical_size) + 1e-6);
  const double finest = std::log2(maps.front().stride), coarsest = std::log2(maps.back().stride);
  return static_cast<int>(std::min(std::max(level, finest), coarsest) - finest);
}

std::vector<double> Reference(const std::vector<Map>& maps, int64_t images, int64_t channels,
                              const std::vector<Box>& boxes, const RoiAlignOptions& options) {
  std::vector<double> out;
  const int64_t per_image = static_cast<int64_t>(boxes.size()) / images;
  for (size_t i = 0; i < boxes.size(); ++i) {
    const Box& box = boxes[i];
    const bool has_area = box.x2 > box.x1 && box.y2 > box.y1;
    const Map& map = maps[has_area ? LevelOf(box, maps, options) : 0];
    const double scale = 1.0 / map.stride;
    const double bin_height = std::max((box.y2 - box.y1) * scale, 1.0) / options.size;
    const double bin_width = std::max((box.x2 - box.x1) * scale, 1.0) / options.size;
    for (int by = 0; by < options.size; ++by) {
      for (int bx = 0; bx < options.size; ++bx) {
        for (int64_t c = 0; c < channels; ++c) {
          double sum = 0;
          for (int sy = 0; sy < options.sampling && has_area; ++sy) {
            for (int sx = 0; sx < options.sampling; ++sx) {
              const double y = box.y1 * scale + (by + (sy + 0.5) / options.sampling) * bin_height;
              const double x = box.x1 * scale + (bx + (sx + 0.5) / options.sampling) * bin_width;
              sum += Point(map, channels, static_cast<int64_t>(i) / per_image, c, y, x);
            }
          }
          out.push_back(sum / (options.sampling * options.sampling));
        }
      }
    }
  }
  return out;
}

struct Case {
  int64_t images, channels;
  std::vector<Map> maps;
  std::vector<Box> boxes;  // as many for each image

  std::vector<Var> MapVars(Device& device, DataType type = DataType::kFloat32) const {
    std::vector<Var> vars;
    for (const Map& map : maps) {
      const Shape shape{images, map.height, map.width, channels};
      DispatchFloating(type, [&](auto element) {
        std::vector<decltype(element)> values;
        for (float value : map.values) values.push_back(FromFloat<decltype(element)>(value));
        vars.push_back(Var::Intermediate(Tensor::From(device, shape, values)));
      });
    }
    return vars;
  }
  std::vector<int> Strides() const {
    std::vector<int> strides;
    for (const Map& map : maps) strides.push_back(map.stride);
    return strides;
  }
  Tensor BoxTensor(Device& device) const {
    const Tensor tensor = Tensor::Empty(device, {images, static_cast<int64_t>(boxes.size()) / images, 4});
    tensor.CopyFromHost(boxes.data());
    return tensor;
  }
};

Case RandomCase(Random* random, int64_t images, int64_t channels, const std::vector<int>& strides, int64_t extent,
                int boxes) {
  Case c{images, channels, {}, {}};
  for (int stride : strides) {
    Map map{(extent + stride - 1) / stride, (extent * 3 / 4 + stride - 1) / stride, stride, {}};
    for (int64_t i = 0; i < images * map.height * map.width * channels; ++i) {
      // Numbers that 16 bits have.
      map.values.push_back(static_cast<float>(static_cast<int>(random->Below(129)) - 64) / 32);
    }
    c.maps.push_back(std::move(map));
  }
  const float side = static_cast<float>(extent);
  for (int i = 0; i < boxes * static_cast<int>(images); ++i) {
    // Also over the edges and, some, without area.
    c.boxes.push_back(RandomBox(random, side, 0.3f, side));
    if (i % 7 == 6) c.boxes.back().x2 = c.boxes.back().x1;
  }
  return c;
}

class RoiAlignTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RoiAlignTest, EqualsTheReference) {
  Random random(2, RandomUse::kSampling);
  for (int trial = 0; trial < 6; ++trial) {
    const Case c = RandomCase(&random, 1 + trial % 2, trial % 3 == 0 ? 5 : 24,
                              trial < 2 ? std::vector<int>{8} : std::vector<int>{4, 8, 16}, 96, 30);
    RoiAlignOptions options;
    options.size = trial % 2 == 0 ? 7 : 3;
    options.sampling = 1 + trial % 3;
    options.canonical_size = 40;
    const std::vector<double> expected = Reference(c.maps, c.images, c.channels, c.boxes, options);
    std::vector<int> of_level(3, 0);
    for (const Box& box : c.boxes) {
      if (box.x2 > box.x1) ++of_level[LevelOf(box, c.maps, options)];
    }
    if (trial >= 2) {
      for (int count : of_level) EXPECT_GT(count, 0);
    }
    const auto device = testing::NewTestDevice(GetParam(), 2);
    Context context(*device);
    for (const DataType type : {DataType::kFloat32, DataType::kBfloat16, DataType::kFloat16}) {
      const Var out = RoiAlign(context, c.MapVars(*device, type), c.Strides(), c.BoxTensor(*device), options);
      ASSERT_EQ(out.shape(), (Shape{static_cast<int64_t>(c.boxes.size()), options.size, options.size, c.channels}));
      DispatchFloating(type, [&](auto element) {
        const auto values = out.value().ToVector<decltype(element)>();
        const double tolerance = type == DataType::kFloat32 ? 2e-4 : type == DataType::kFloat16 ? 2e-3 : 1.2e-2;
        for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(ToFloat(values[i]), expected[i], tolerance) << i;
      });
    }
  }
}

TEST_P(RoiAlignTest, Gradients) {
  for (const int channels : {3, 20}) {
    testing::GradientCheck check(GetParam());
    Random random(3, RandomUse::kSampling);
    const Case c = RandomCase(&random, 2, channels, {4, 8}, 40, 9);
    RoiAlignOptions options;
    options.size = 3;
    options.canonical_size = 30;
    std::vector<Var> maps;
    for (const Map& map : c.maps) maps.push_back(check.Input({c.images, map.height, map.width, c.channels}));
    const Tensor boxes = c.BoxTensor(check.device());
    check.Run([&](Context& context) { return RoiAlign(context, maps, c.Strides(), boxes, options); });
  }
}

// The gradient of sum(w * out) by a map is what the map's ones give to sum(w * out): it is linear. Adds up all
// elements, in every type.
TEST_P(RoiAlignTest, BackwardIsTheTransposeOfForward) {
  Random random(4, RandomUse::kSampling);
  const Case c = RandomCase(&random, 2, 24, {4, 8, 16}, 96, 40);
  RoiAlignOptions options;
  options.canonical_size = 40;
  const auto device = testing::NewTestDevice(GetParam(), 2);
  Context context(*device);
  Tape tape({}, nullptr);
  context.tape = &tape;
  for (const DataType type : {DataType::kFloat32, DataType::kBfloat16}) {
    const std::vector<Var> maps = c.MapVars(*device, type);
    DispatchFloating(type, [&](auto element) {
      using T = decltype(element);
      std::vector<T> out;
      std::vector<T> weight;
      {
        const Var result = RoiAlign(context, maps, c.Strides(), c.BoxTensor(*device), options);
        out = result.value().ToVector<T>();
        for (size_t i = 0; i < out.size(); ++i) {
          weight.push_back(FromFloat<T>(static_cast<float>(static_cast<int>(random.Below(9)) - 4) / 4));
        }
        result.AccumulateGradient(Tensor::From(*device, result.shape(), weight), context.stream());
      }
      tape.Backward({}, context.stream());
      double forward = 0, backward = 0, size = 0;
      for (size_t i = 0; i < out.size(); ++i) forward += static_cast<double>(ToFloat(weight[i])) * ToFloat(out[i]);
      for (size_t m = 0; m < maps.size(); ++m) {
        const std::vector<T> gradient = maps[m].gradient().ToVector<T>();
        for (size_t i = 0; i < gradient.size(); ++i) {
          const double product = static_cast<double>(ToFloat(gradient[i])) * c.maps[m].values[i];
          backward += product;
          size += std::abs(product);
        }
      }
      EXPECT_GT(size, 100);
      EXPECT_NEAR(backward, forward, (type == DataType::kFloat32 ? 1e-6 : 1e-3) * size);
    });
  }
}

TEST_P(RoiAlignTest, DoesNotDependOnThreads) {
  Random random(5, RandomUse::kSampling);
  const Case c = RandomCase(&random, 2, 17, {4, 8}, 80, 25);
  std::vector<std::vector<float>> gradients;
  for (int threads : {1, 2, 3}) {
    const auto device = testing::NewTestDevice(GetParam(), threads);
    Context context(*device);
    Tape tape({}, nullptr);
    context.tape = &tape;
    const std::vector<Var> maps = c.MapVars(*device);
    {
      const Var out = RoiAlign(context, maps, c.Strides(), c.BoxTensor(*device), {});
      out.AccumulateGradient(out.value(), context.stream());
    }
    tape.Backward({}, context.stream());
    gradients.push_back(maps[0].gradient().ToVector<float>());
  }
  EXPECT_EQ(gradients[1], gradients[0]);
  EXPECT_EQ(gradients[2], gradients[0]);
}

INSTANTIATE_TEST_SUITE_P(Devices, RoiAlignTest, ::testing::ValuesIn(testing::TestDevices()));

}  // namespace
}  // namespace trireme

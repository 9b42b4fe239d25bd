#include "data/shapes/shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>

#include "core/base/registry.h"

namespace trireme {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

FaultLog faults;

std::unique_ptr<Dataset> Make(const ShapesDatasetConfig& config) {
  auto made = MakeShapes(config, {&faults});
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

Sample Get(const Dataset& dataset, int64_t index) {
  Sample sample;
  EXPECT_TRUE(dataset.Get(index, &sample).ok());
  return sample;
}

bool Same(const Sample& a, const Sample& b) {
  return a.source->data == b.source->data && a.id == b.id &&
         std::equal(a.objects.begin(), a.objects.end(), b.objects.begin(), b.objects.end(),
                    [](const Object& x, const Object& y) {
                      return x.label == y.label && x.difficult == y.difficult && x.box.x1 == y.box.x1 &&
                             x.box.y1 == y.box.y1 && x.box.x2 == y.box.x2 && x.box.y2 == y.box.y2;
                    });
}

TEST(Shapes, ASceneIsAFunctionOfSeedAndIndex) {
  ShapesDatasetConfig config;
  config.set_width(96);
  config.set_height(64);
  const auto dataset = Make(config), again = Make(config);
  config.set_seed(2);
  const auto other = Make(config);
  EXPECT_FALSE(Same(Get(*dataset, 0), Get(*dataset, 1)));
  EXPECT_FALSE(Same(Get(*dataset, 0), Get(*other, 0)));
  std::vector<Sample> forward(24), backward(24);
  std::thread up([&] {
    for (int i = 0; i < 24; ++i) forward[i] = Get(*dataset, i);
  });
  std::thread down([&] {
    for (int i = 23; i >= 0; --i) backward[i] = Get(*dataset, i);
  });
  up.join();
  down.join();
  for (int i = 0; i < 24; ++i) {
    EXPECT_TRUE(Same(forward[i], backward[i])) << i;
    EXPECT_TRUE(Same(forward[i], Get(*again, i))) << i;
  }
}

TEST(Shapes, BoxesLieInsideAndHaveTheConfiguredSize) {
  ShapesDatasetConfig config;
  for (const auto& [width, height] : {std::pair{128, 128}, {64, 200}, {201, 77}}) {
    config.set_width(width);
    config.set_height(height);
    const auto dataset = Make(config);
    const float side = static_cast<float>(std::min(width, height));
    for (int i = 0; i < 60; ++i) {
      const Sample sample = Get(*dataset, i);
      ASSERT_EQ(sample.source->width, width);
      ASSERT_EQ(sample.source->height, height);
      ASSERT_LE(static_cast<int>(sample.objects.size()), dataset->max_objects());
      for (const Object& object : sample.objects) {
        EXPECT_GE(object.box.x1, 0);
        EXPECT_GE(object.box.y1, 0);
        EXPECT_LE(object.box.x2, static_cast<float>(width));
        EXPECT_LE(object.box.y2, static_cast<float>(height));
        // Its diameter, stretched by at most an eighth; a cross or a triangle, or one that the border cuts, is
        // narrower.
        const float longer = std::max(object.box.width(), object.box.height());
        EXPECT_LE(longer, 0.6f * side * 1.14f + 2);
        EXPECT_GE(longer, 0.25f * side * 0.5f);
      }
    }
  }
}

TEST(Shapes, ClassesAndNumbersAreSpreadEvenly) {
  ShapesDatasetConfig config;
  config.set_width(64);
  config.set_height(64);
  const auto dataset = Make(config);
  EXPECT_THAT(dataset->class_names(), ElementsAre("circle", "cross", "ring", "square", "star", "triangle"));
  std::map<int, int> by_label;
  int objects = 0, difficult = 0;
  constexpr int kScenes = 1200;
  for (int i = 0; i < kScenes; ++i) {
    for (const Object& object : Get(*dataset, i).objects) {
      ++by_label[object.label];
      ++objects;
      difficult += object.difficult;
    }
  }
  EXPECT_NEAR(static_cast<double>(objects) / kScenes, 2.5, 0.15);
  ASSERT_EQ(by_label.size(), 6u);
  for (const auto& [label, count] : by_label) EXPECT_NEAR(count, objects / 6.0, objects / 6.0 * 0.15) << label;
  EXPECT_GT(difficult, 0);
  EXPECT_LT(difficult, objects / 20);
}

// What fills a shape says nothing of what it is: the mean colours of two classes agree, as do their spreads.
TEST(Shapes, ColourDoesNotTellTheClass) {
  ShapesDatasetConfig config;
  config.set_width(64);
  config.set_height(64);
  config.set_max_objects(1);
  config.add_class_names("circle");
  config.add_class_names("square");
  const auto dataset = Make(config);
  std::array<std::array<double, 3>, 2> sum = {};
  std::array<int, 2> count = {};
  for (int i = 0; i < 1500; ++i) {
    const Sample sample = Get(*dataset, i);
    for (const Object& object : sample.objects) {
      const uint8_t* p = sample.source->pixel(static_cast<int>(0.5f * (object.box.x1 + object.box.x2)),
                                              static_cast<int>(0.5f * (object.box.y1 + object.box.y2)));
      for (int c = 0; c < 3; ++c) sum[object.label][c] += p[c];
      ++count[object.label];
    }
  }
  // A standard deviation of about 65 over 750 shapes: 2.4 each.
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(sum[0][c] / count[0], sum[1][c] / count[1], 14);
}

// Along each edge of a lone circle's box on a quiet ground the picture changes just inside, and is still just outside.
TEST(Shapes, BoxesAreTight) {
  ShapesDatasetConfig config;
  config.set_clutter(0);
  config.set_max_objects(1);
  config.add_class_names("circle");
  const auto dataset = Make(config);
  int checked = 0;
  for (int i = 0; i < 60; ++i) {
    const Sample sample = Get(*dataset, i);
    ASSERT_EQ(sample.objects.size(), 1u);
    const Box& box = sample.objects[0].box;
    const int x1 = static_cast<int>(box.x1), y1 = static_cast<int>(box.y1);
    const int x2 = static_cast<int>(box.x2), y2 = static_cast<int>(box.y2);
    if (x1 < 4 || y1 < 4 || x2 > 156 || y2 > 156) continue;  // cut by the border
    ++checked;
    // The largest difference between two rows (or columns) over the box's extent.
    const auto rows = [&](int a, int b) {
      int largest = 0;
      for (int x = x1; x < x2; ++x) {
        for (int c = 0; c < 3; ++c) {
          largest = std::max(largest, std::abs(sample.source->pixel(x, a)[c] - sample.source->pixel(x, b)[c]));
        }
      }
      return largest;
    };
    const auto columns = [&](int a, int b) {
      int largest = 0;
      for (int y = y1; y < y2; ++y) {
        for (int c = 0; c < 3; ++c) {
          largest = std::max(largest, std::abs(sample.source->pixel(a, y)[c] - sample.source->pixel(b, y)[c]));
        }
      }
      return largest;
    };
    EXPECT_GT(rows(y1 - 2, y1 + 1), 15) << i;
    EXPECT_GT(rows(y2 + 1, y2 - 2), 15) << i;
    EXPECT_GT(columns(x1 - 2, x1 + 1), 15) << i;
    EXPECT_GT(columns(x2 + 1, x2 - 2), 15) << i;
    EXPECT_LT(rows(y1 - 2, y1 - 3), 8) << i;
    EXPECT_LT(rows(y2 + 1, y2 + 2), 8) << i;
    EXPECT_LT(columns(x1 - 2, x1 - 3), 8) << i;
    EXPECT_LT(columns(x2 + 1, x2 + 2), 8) << i;
  }
  EXPECT_GT(checked, 15);
}

TEST(Shapes, RefusesSenselessConfigs) {
  const auto refused = [](const std::function<void(ShapesDatasetConfig*)>& change) {
    ShapesDatasetConfig config;
    change(&config);
    const Status status = MakeShapes(config, {&faults}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(refused([](auto* c) { c->add_class_names("hexagon"); }), HasSubstr("circle, cross"));
  EXPECT_THAT(refused([](auto* c) {
                *c->mutable_class_names() = {};
                c->add_class_names("star");
                c->add_class_names("star");
              }),
              HasSubstr("twice"));
  EXPECT_THAT(refused([](auto* c) { c->set_num_images(0); }), HasSubstr("num_images"));
  EXPECT_THAT(refused([](auto* c) { c->set_width(2); }), HasSubstr("width"));
  EXPECT_THAT(refused([](auto* c) { c->set_min_objects(5); }), HasSubstr("max_objects"));
  EXPECT_THAT(refused([](auto* c) { c->set_max_size(1.5f); }), HasSubstr("max_size"));
  EXPECT_THAT(refused([](auto* c) { c->set_clutter(-1); }), HasSubstr("clutter"));
}

TEST(Shapes, IsRegistered) { EXPECT_NE(ComponentRegistry::Global().FindOrNull("dataset/shapes"), nullptr); }

}  // namespace
}  // namespace trireme

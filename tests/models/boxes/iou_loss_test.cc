#include "models/boxes/iou_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/core/testing/devices.h"
#include "tests/models/testing/random_boxes.h"

namespace trireme {
namespace {

constexpr double kPi = 3.14159265358979323846;

struct Corners {
  double x1, y1, x2, y2;

  explicit Corners(const Box& box) : x1(box.x1), y1(box.y1), x2(box.x2), y2(box.y2) {}
  double& operator[](int i) { return i == 0 ? x1 : (i == 1 ? y1 : (i == 2 ? x2 : y2)); }
};

double IouOf(const Corners& a, const Corners& b) {
  const double width = std::max(0.0, std::min(a.x2, b.x2) - std::max(a.x1, b.x1));
  const double height = std::max(0.0, std::min(a.y2, b.y2) - std::max(a.y1, b.y1));
  return width * height / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - width * height);
}

double ShapeTerm(const Corners& a, const Corners& b) {
  const double turn = std::atan((b.x2 - b.x1) / (b.y2 - b.y1)) - std::atan((a.x2 - a.x1) / (a.y2 - a.y1));
  return 4 / (kPi * kPi) * turn * turn;
}

// The paper's equations in float64, with the trade-off given.
double Loss(const Corners& a, const Corners& b, double trade_off) {
  const double width = std::max(a.x2, b.x2) - std::min(a.x1, b.x1);
  const double height = std::max(a.y2, b.y2) - std::min(a.y1, b.y1);
  const double dx = (a.x1 + a.x2 - b.x1 - b.x2) / 2, dy = (a.y1 + a.y2 - b.y1 - b.y2) / 2;
  return 1 - IouOf(a, b) + (dx * dx + dy * dy) / (width * width + height * height) + trade_off * ShapeTerm(a, b);
}

class IouLossOnDevice : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Devices, IouLossOnDevice, ::testing::ValuesIn(testing::TestDevices()));

TEST_P(IouLossOnDevice, EqualsThePaperForwardAndBackward) {
  const auto device = testing::NewTestDevice(GetParam());
  Random random(4, RandomUse::kSampling);
  const int64_t count = 300;
  std::vector<Box> boxes, targets;
  std::vector<float> weights;
  for (int64_t i = 0; i < count; ++i) {
    boxes.push_back(RandomBox(&random, 60, 5, 50));
    targets.push_back(i % 7 == 0 ? boxes.back() : RandomBox(&random, 60, 5, 50));
    weights.push_back(static_cast<float>(i % 4) / 2);
    if (weights.back() == 0) boxes.back().x1 = targets.back().y2 = NAN;  // nobody reads it
  }
  const auto tensor = [&](const std::vector<Box>& from) {
    const Tensor made = Tensor::Empty(*device, {count, 4});
    made.CopyFromHost(from.data());
    return made;
  };
  const Var predicted = Var::Intermediate(tensor(boxes));
  Tape tape({}, nullptr);
  Context context(*device);
  context.tape = &tape;
  const Var loss = CompleteIouLoss(context, predicted, tensor(targets), Tensor::From(*device, {count}, weights),
                                   Tensor::From<float>(*device, {1}, {3}));
  tape.Backward({loss}, context.stream());
  const std::vector<float> slopes = predicted.gradient().ToVector<float>();
  double expected = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (weights[i] == 0) {
      for (int d = 0; d < 4; ++d) EXPECT_EQ(slopes[4 * i + d], 0);
      continue;
    }
    const Corners box(boxes[i]), target(targets[i]);
    const double shape = ShapeTerm(box, target), iou = IouOf(box, target);
    const double trade_off = shape > 0 ? shape / (1 - iou + shape) : 0;
    expected += weights[i] * Loss(box, target, trade_off) / 3;
    for (int d = 0; d < 4; ++d) {
      if (i % 7 == 0) continue;  // equal boxes: a corner of the loss
      const double step = 1e-4;
      Corners more = box, less = box;
      more[d] += step;
      less[d] -= step;
      const double slope = (Loss(more, target, trade_off) - Loss(less, target, trade_off)) / (2 * step);
      EXPECT_NEAR(slopes[4 * i + d], weights[i] * slope / 3, 1e-5 + 1e-3 * std::abs(slope)) << i << ", " << d;
    }
  }
  EXPECT_NEAR(loss.value().ToVector<float>()[0], expected, 1e-5 * expected);
}

// Predicted sides are exponentials, and can be less than a step between two floats.
TEST_P(IouLossOnDevice, IsFiniteForBoxesWithoutArea) {
  const auto device = testing::NewTestDevice(GetParam());
  const std::vector<Box> boxes = {{5, 5, 5, 5}, {5, 5, 5, 9}, {5, 5, 9, 5}, {7, 7, 7, 7}};
  const int64_t count = static_cast<int64_t>(boxes.size());
  const Box target{4, 4, 10, 12};
  const Tensor values = Tensor::Empty(*device, {count, 4}), targets = Tensor::Empty(*device, {count, 4});
  values.CopyFromHost(boxes.data());
  targets.CopyFromHost(std::vector<Box>(count, target).data());
  const Var predicted = Var::Intermediate(values);
  Tape tape({}, nullptr);
  Context context(*device);
  context.tape = &tape;
  const Var loss = CompleteIouLoss(context, predicted, targets, Tensor::From<float>(*device, {count}, {1, 1, 1, 1}),
                                   Tensor::From<float>(*device, {1}, {1}));
  tape.Backward({loss}, context.stream());
  double expected = 0;
  for (const Box& box : boxes) {
    // They share nothing with the target. Without width the angle is 0, without height a right one.
    const double angle = box.width() == 0 ? 0 : kPi / 2;
    const double turn = std::atan(6.0 / 8) - angle, shape = 4 / (kPi * kPi) * turn * turn;
    const double dx = (box.x1 + box.x2) / 2.0 - 7, dy = (box.y1 + box.y2) / 2.0 - 8;
    expected += 1 + (dx * dx + dy * dy) / 100 + shape * shape / (1 + shape);
  }
  EXPECT_NEAR(loss.value().ToVector<float>()[0], expected, 1e-5 * expected);
  for (const float slope : predicted.gradient().ToVector<float>()) EXPECT_TRUE(std::isfinite(slope)) << slope;
}

TEST_P(IouLossOnDevice, OfTheTargetItselfIsNothing) {
  const auto device = testing::NewTestDevice(GetParam());
  Context context(*device);
  const Tensor boxes = Tensor::From<float>(*device, {2, 4}, {1, 2, 11, 32, 5, 5, 6, 6});
  const Tensor ones = Tensor::From<float>(*device, {2}, {1, 1});
  EXPECT_NEAR(CompleteIouLoss(context, Var(boxes), boxes, ones, Tensor::From<float>(*device, {1}, {1}))
                  .value()
                  .ToVector<float>()[0],
              0, 1e-6);
}

}  // namespace
}  // namespace trireme

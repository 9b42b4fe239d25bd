// Losses against torchvision's and against the papers' equations, differentiated by torch: make_loss_goldens.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "core/autograd/tape.h"
#include "models/boxes/iou_loss.h"
#include "models/yolo/anchor_free_head.h"
#include "models/yolo/task_alignment.h"
#include "tests/golden/golden.h"

namespace trireme {
namespace {

constexpr double kMostApart = 1e-5;

double Norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum);
}

double Distance(std::vector<float> values, const std::vector<float>& reference) {
  CHECK_EQ(values.size(), reference.size());
  for (size_t i = 0; i < values.size(); ++i) values[i] -= reference[i];
  return Norm(values) / Norm(reference);
}

TEST(LossGoldens, CompleteIouIsTorchvisions) {
  const Golden golden("complete_iou");
  const auto device = *MakeDevice("cpu", 1);
  const std::vector<float>&boxes = golden.Values("boxes"), &targets = golden.Values("targets");
  const std::vector<float>&losses = golden.Values("losses"), &gradient = golden.Values("gradient");
  const int64_t count = static_cast<int64_t>(losses.size());
  ASSERT_GE(count, 100);
  double worst_loss = 0, worst_slope = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto row = [&](const std::vector<float>& from) {
      return Tensor::From<float>(*device, {1, 4}, {from.begin() + 4 * i, from.begin() + 4 * i + 4});
    };
    const Tensor one = Tensor::From<float>(*device, {1}, {1});
    const Var box = Var::Intermediate(row(boxes));
    Tape tape({}, nullptr);
    Context context(*device);
    context.tape = &tape;
    const Var loss = CompleteIouLoss(context, box, row(targets), one, one);
    tape.Backward({loss}, context.stream());
    worst_loss = std::max<double>(worst_loss, std::abs(loss.value().ToVector<float>()[0] - losses[i]) / losses[i]);
    worst_slope = std::max(worst_slope, Distance(box.gradient().ToVector<float>(),
                                                 {gradient.begin() + 4 * i, gradient.begin() + 4 * i + 4}));
  }
  std::printf("complete_iou: losses off by %.1e at most, gradients by %.1e\n", worst_loss, worst_slope);
  EXPECT_LT(worst_loss, kMostApart);
  EXPECT_LT(worst_slope, 10 * kMostApart);
}

class AnchorFreeGolden : public ::testing::Test {
 protected:
  AnchorFreeGolden() : golden_("anchor_free"), device_(*MakeDevice("cpu", 2)) {
    const std::vector<float>& settings = golden_.Values("settings");
    const float side = settings[0];
    num_classes_ = static_cast<int64_t>(settings[1]);
    YoloAnchorFreeHeadConfig* head = config_.mutable_anchor_free();
    head->set_top_k(static_cast<int>(settings[2]));
    head->set_alpha(settings[3]);
    head->set_beta(settings[4]);

    // A cell of the golden is a column, a row and a stride.
    const std::vector<float>& cells = golden_.Values("cells");
    std::vector<YoloMap> maps;
    for (size_t r = 0; r < cells.size(); r += 3) {
      const int stride = static_cast<int>(cells[r + 2]);
      const int64_t places = static_cast<int64_t>(side) / stride;
      if (maps.empty() || maps.back().stride != stride) {
        maps.push_back({places, places, stride, {{cells[r + 2], cells[r + 2]}}});
      }
    }
    const std::vector<YoloCell> made = MakeYoloCells(maps, {side, side});
    rows_ = static_cast<int64_t>(made.size());
    CHECK_EQ(made.size() * 3, cells.size());
    for (size_t r = 0; r < made.size(); ++r) {
      CHECK(made[r].column == cells[3 * r] && made[r].row == cells[3 * r + 1] && made[r].width == cells[3 * r + 2]);
    }
    cells_ = Tensor::Empty(*device_, {rows_, 9});
    cells_.CopyFromHost(made.data());

    constexpr int64_t kMostObjects = 8;
    std::vector<float> boxes(kImages * kMostObjects * 4, 0.0f);
    std::vector<int32_t> labels(kImages * kMostObjects, -1);
    for (int64_t n = 0; n < kImages; ++n) {
      const std::vector<float>& objects = golden_.Values(absl::StrCat("objects/", n));
      CHECK_LE(objects.size(), 5 * kMostObjects);
      for (size_t k = 0; k < objects.size() / 5; ++k) {
        const int64_t to = n * kMostObjects + static_cast<int64_t>(k);
        std::copy_n(objects.begin() + 5 * k, 4, boxes.begin() + 4 * to);
        labels[to] = static_cast<int32_t>(objects[5 * k + 4]);
      }
    }
    batch_.boxes = Tensor::From(*device_, {kImages, kMostObjects, 4}, boxes);
    batch_.labels = Tensor::From(*device_, {kImages, kMostObjects}, labels);
  }

  Var Predictions() const {
    return Var::Intermediate(Tensor::From(*device_, {kImages, rows_, 4 + num_classes_}, golden_.Values("predictions")));
  }

  static constexpr int64_t kImages = 3;
  const Golden golden_;
  const std::unique_ptr<Device> device_;
  YoloConfig config_;
  int64_t num_classes_ = 0, rows_ = 0;
  Tensor cells_;
  Batch batch_;
};

TEST_F(AnchorFreeGolden, LossesAndGradients) {
  const Var predictions = Predictions();
  Tape tape({}, nullptr);
  Context context(*device_);
  context.tape = &tape;
  const auto losses = AnchorFreeLosses(context, config_, predictions, cells_, batch_);
  ASSERT_TRUE(losses.ok()) << losses.status();
  std::vector<Var> all;
  for (const auto& [name, loss] : *losses) {
    const float value = loss.value().ToVector<float>()[0], reference = golden_.Values(name)[0];
    std::printf("anchor_free: %s off by %.1e\n", name.c_str(), std::abs(value - reference) / reference);
    EXPECT_NEAR(value, reference, kMostApart * reference) << name;
    all.push_back(loss);
  }
  ASSERT_EQ(all.size(), 2u);
  tape.Backward(all, context.stream());
  const double distance = Distance(predictions.gradient().ToVector<float>(), golden_.Values("gradient"));
  std::printf("anchor_free: gradient off by %.1e\n", distance);
  EXPECT_LT(distance, kMostApart);
}

TEST_F(AnchorFreeGolden, Assignment) {
  Context context(*device_);
  const Var predictions = Predictions();
  // As the head takes its outputs apart; what they are decoded to is checked by the losses.
  YoloCentre centre = YoloCentre::kOffset;
  const std::vector<float> outputs = predictions.value().ToVector<float>();
  std::vector<YoloCell> cells(static_cast<size_t>(rows_));
  cells_.CopyToHost(cells.data());
  std::vector<Box> boxes;
  std::vector<float> logits;
  const int64_t width = 4 + num_classes_;
  for (int64_t i = 0; i < kImages * rows_; ++i) {
    boxes.push_back(cells[i % rows_].Decode(&outputs[i * width], centre));
    logits.insert(logits.end(), outputs.begin() + i * width + 4, outputs.begin() + (i + 1) * width);
  }
  const Tensor predicted = Tensor::Empty(*device_, {kImages, rows_, 4});
  predicted.CopyFromHost(boxes.data());
  TaskAlignmentOptions options;
  options.top_k = config_.anchor_free().top_k();
  options.alpha = config_.anchor_free().alpha();
  options.beta = config_.anchor_free().beta();
  const TaskTargets targets = AlignTasks(Tensor::From(*device_, {kImages, rows_, num_classes_}, logits), predicted,
                                         cells_, batch_.boxes, batch_.labels, options, context.stream());
  const std::vector<int32_t> objects = targets.objects.ToVector<int32_t>();
  EXPECT_EQ(std::vector<float>(objects.begin(), objects.end()), golden_.Values("owners"));
  EXPECT_LT(Distance(targets.classes.ToVector<float>(), golden_.Values("classes")), kMostApart);
}

}  // namespace
}  // namespace trireme

#include "tests/models/testing/detector_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/boxes/box_geometry.h"
#include "parallel/communicator/thread/thread_communicator.h"

namespace trireme {
namespace {

double Norm(const std::vector<float>& values) {
  double square = 0;
  for (const float value : values) square += static_cast<double>(value) * value;
  return std::sqrt(square);
}

}  // namespace

float Total(const std::vector<float>& losses) { return std::accumulate(losses.begin(), losses.end(), 0.0f); }

void ExpectEveryParameterHasAGradient(TestModel& model) {
  const float* gradient = model.arena().gradients().data<float>();
  for (const Parameter* parameter : model.arena().parameters()) {
    if (!parameter->options.trainable) continue;
    double sum = 0;
    for (int64_t i = 0; i < parameter->shape.size(); ++i) {
      ASSERT_TRUE(std::isfinite(gradient[parameter->offset + i])) << parameter->name;
      sum += std::abs(gradient[parameter->offset + i]);
    }
    EXPECT_GT(sum, 0) << parameter->name;
  }
}

void ExpectGradientIsTheSlope(TestModel& model, const Batch& batch, double relative, double change,
                              const std::string& but) {
  model.Step(batch, true);
  const std::vector<float> gradients = model.arena().gradients().ToVector<float>();
  float* values = model.arena().values().data<float>();
  for (const Parameter* parameter : model.arena().parameters()) {
    if (!parameter->options.trainable || (!but.empty() && parameter->name.rfind(but, 0) == 0)) continue;
    const int64_t begin = parameter->offset, end = begin + parameter->shape.size();
    const double norm = Norm({gradients.begin() + begin, gradients.begin() + end});
    ASSERT_GT(norm, 0) << parameter->name;
    const std::vector<float> before(values + begin, values + end);
    const float reach = static_cast<float>(change / std::max(norm, 0.2));
    const auto loss_at = [&](float distance) {
      for (int64_t i = begin; i < end; ++i) {
        values[i] = before[i - begin] + distance * gradients[i] / static_cast<float>(norm);
      }
      const std::vector<float> losses = model.Step(batch, false);
      std::copy(before.begin(), before.end(), values + begin);
      return std::accumulate(losses.begin(), losses.end(), 0.0);
    };
    const double slope = (loss_at(reach) - loss_at(-reach)) / (2 * reach);
    EXPECT_NEAR(slope, norm, relative * norm + 2e-3) << parameter->name;
  }
}

void ExpectFindsObjects(TestModel& model, const Batch& batch) {
  Context context(model.device());
  const auto detections = model.detector().Detect(context, batch.images, batch.image_sizes);
  ASSERT_TRUE(detections.ok()) << detections.status();
  const int64_t num_images = batch.labels.dim(0), places = batch.labels.dim(1);
  ASSERT_EQ(static_cast<int64_t>(detections->size()), num_images);
  const std::vector<float> boxes = batch.boxes.ToVector<float>();
  const std::vector<int32_t> labels = batch.labels.ToVector<int32_t>();
  for (int64_t n = 0; n < num_images; ++n) {
    const Detections& found = (*detections)[n];
    for (size_t i = 1; i < found.size(); ++i) EXPECT_LE(found[i].score, found[i - 1].score);
    for (int64_t g = n * places; g < (n + 1) * places; ++g) {
      if (labels[g] < 0) continue;
      Box box;
      box.x1 = boxes[g * 4];
      box.y1 = boxes[g * 4 + 1];
      box.x2 = boxes[g * 4 + 2];
      box.y2 = boxes[g * 4 + 3];
      const bool is_found = std::any_of(found.begin(), found.end(), [&](const Detection& detection) {
        return detection.label == labels[g] && detection.score > 0.5f && Iou(detection.box, box) > 0.5f;
      });
      EXPECT_TRUE(is_found) << "object " << g - n * places << " of image " << n;
    }
  }
}

void ExpectWorkersAddUp(const std::function<std::unique_ptr<TestModel>()>& make) {
  const std::vector<int> objects = {1, 0, 4, 3};
  const auto alone = make();
  const std::vector<float> whole = alone->Step(alone->MakeBatch(objects, 4, 7), true);
  const std::vector<float> whole_gradient = alone->arena().gradients().ToVector<float>();
  const std::vector<float> whole_buffers = alone->arena().buffer_values().ToVector<float>();

  for (int workers : {2, 4}) {
    std::vector<std::vector<float>> losses(workers), gradients(workers), buffers(workers);
    const Status status = MakeThreadLauncher(30)->Run(workers, [&](Communicator& communicator) {
      const auto model = make();
      const int share = 4 / workers, rank = communicator.rank();
      const Batch batch = model->MakeBatch(objects, 4, 7).Slice(rank * share, (rank + 1) * share);
      losses[rank] = model->Step(batch, true, &communicator);
      gradients[rank] = model->arena().gradients().ToVector<float>();
      buffers[rank] = model->arena().buffer_values().ToVector<float>();
      return absl::OkStatus();
    });
    ASSERT_TRUE(status.ok()) << status;
    for (size_t k = 0; k < whole.size(); ++k) {
      float sum = 0;
      for (const std::vector<float>& of_worker : losses) sum += of_worker[k];
      EXPECT_NEAR(sum, whole[k], 1e-5 * whole[k]) << "loss " << k << " of " << workers << " workers";
    }
    std::vector<float> difference(whole_gradient.size());
    for (size_t i = 0; i < whole_gradient.size(); ++i) {
      double sum = 0;
      for (const std::vector<float>& of_worker : gradients) sum += of_worker[i];
      difference[i] = static_cast<float>(sum - whole_gradient[i]);
    }
    EXPECT_LT(Norm(difference), 1e-5 * Norm(whole_gradient)) << workers << " workers";
    for (const std::vector<float>& of_worker : buffers) {
      for (size_t i = 0; i < whole_buffers.size(); ++i) EXPECT_NEAR(of_worker[i], whole_buffers[i], 1e-5);
    }
  }
}

void Expect16BitsToBeClose(const std::function<std::unique_ptr<TestModel>(Precision)>& make) {
  const auto exact = make(Precision::kFloat32);
  const std::vector<float> losses = exact->Step(exact->MakeBatch({3, 1, 2}, 4, 1), true);
  const std::vector<float> gradient = exact->arena().gradients().ToVector<float>();
  for (const Precision precision : {Precision::kBfloat16, Precision::kFloat16}) {
    SCOPED_TRACE(precision == Precision::kBfloat16 ? "bfloat16" : "float16");
    const auto model = make(precision);
    const std::vector<float> actual = model->Step(model->MakeBatch({3, 1, 2}, 4, 1), true);
    for (size_t k = 0; k < losses.size(); ++k) {
      EXPECT_NEAR(actual[k], losses[k], 0.02 * losses[k]);
      EXPECT_NE(actual[k], losses[k]) << "nothing was rounded";
    }
    ExpectEveryParameterHasAGradient(*model);
    const std::vector<float> rounded = model->arena().gradients().ToVector<float>();
    double along = 0;
    for (size_t i = 0; i < gradient.size(); ++i) along += static_cast<double>(gradient[i]) * rounded[i];
    // Rounding closes relus and changes what is sampled; bfloat16's is 8 times as coarse.
    EXPECT_GT(along / (Norm(gradient) * Norm(rounded)), precision == Precision::kBfloat16 ? 0.95 : 0.98);
    EXPECT_NEAR(Norm(rounded) / Norm(gradient), 1, 0.05);
  }
}

}  // namespace trireme

#include "tests/core/testing/toy_training.h"

#include <limits>

#include "core/autograd/tape.h"
#include "core/base/random.h"

namespace trireme::testing {

ToyDetector::ToyDetector()
    : weight_(AddParameter("weight", {4}, init::Normal(0.1f))),
      unused_(AddParameter("unused", {3}, init::Constant(2))),
      seen_(AddBuffer("seen", {1}, 0)) {}

StatusOr<NamedLosses> ToyDetector::Loss(Context& context, const Batch& batch) {
  Device& device = context.device;
  Stream& stream = context.stream();
  const Var weight = weight_.var;
  const float* w = weight.value().data<float>();
  const float* boxes = batch.boxes.data<float>();
  const int32_t* labels = batch.labels.data<int32_t>();
  float fit = 0, size = 0;
  std::vector<float> fit_gradient(4), size_gradient(4);
  for (int64_t i = 0; i < batch.labels.size(); ++i) {
    float error = labels[i] == kBadLabel ? std::numeric_limits<float>::infinity() : -static_cast<float>(labels[i]);
    for (int d = 0; d < 4; ++d) error += w[d] * boxes[4 * i + d];
    fit += error * error;
    for (int d = 0; d < 4; ++d) fit_gradient[d] += 2 * error * boxes[4 * i + d];
  }
  for (int d = 0; d < 4; ++d) {
    size += w[d] * w[d] / 100;
    size_gradient[d] = w[d] / 50;
  }
  seen_.value.data<float>()[0] += static_cast<float>(batch.labels.size());
  const auto loss = [&](const char* name, float value, const std::vector<float>& gradient) {
    return Record(context, name, Tensor::From<float>(device, {1}, {value}), {weight},
                  [&device, &stream, weight, gradient](const Tensor&) {
                    weight.AccumulateGradient(Tensor::From<float>(device, {4}, gradient), stream);
                  });
  };
  return NamedLosses{{"fit", loss("fit", fit, fit_gradient)}, {"size", loss("size", size, size_gradient)}};
}

StatusOr<std::vector<Detections>> ToyDetector::Detect(Context&, const Tensor& images) {
  return std::vector<Detections>(images.dim(0));
}

Status ToyOptimizer::Setup(ParameterArena* arena) {
  arena_ = arena;
  momentum_ = Tensor::Zeros(arena->device(), {arena->size()}, DataType::kFloat32, MemoryKind::kOptimizer);
  return absl::OkStatus();
}

void ToyOptimizer::Update(int64_t begin, int64_t end, const UpdateInfo& info, Stream&) {
  float* value = arena_->values().data<float>();
  float* momentum = momentum_.data<float>();
  const float* gradient = arena_->gradients().data<float>();
  for (int64_t i = begin; i < end; ++i) {
    momentum[i] = 0.9f * momentum[i] + gradient[i];
    value[i] -= info.learning_rate * momentum[i];
  }
}

Status ToyStrategy::Setup() {
  return args_.communicator->Broadcast(args_.arena->values(), 0, args_.arena->device().compute_stream());
}

Status ToyStrategy::Step(const UpdateInfo& info) {
  Stream& stream = args_.arena->device().compute_stream();
  TRIREME_RETURN_IF_ERROR(args_.communicator->AllReduce(args_.arena->gradients(), ReduceOperation::kSum, stream));
  args_.optimizer->Update(0, args_.arena->size(), info, stream);
  return absl::OkStatus();
}

Status ToyBatches::Next(int64_t step, Batch* batch) {
  Random random(5, RandomUse::kSynthesis, static_cast<uint64_t>(step), static_cast<uint64_t>(rank_));
  std::vector<float> boxes;
  std::vector<int32_t> labels;
  batch->image_ids.clear();
  for (int i = 0; i < images_; ++i) {
    for (int d = 0; d < 4; ++d) boxes.push_back(random.Uniform(-1, 1));
    labels.push_back(step == bad_step_ ? ToyDetector::kBadLabel : static_cast<int32_t>(random.Below(3)));
    batch->image_ids.push_back(100 * step + 10 * rank_ + i);
  }
  batch->images = Tensor::Zeros(device_, {images_, 1, 1, 3}, DataType::kUint8);
  batch->boxes = Tensor::From(device_, {images_, 1, 4}, boxes);
  batch->labels = Tensor::From(device_, {images_, 1}, labels);
  return absl::OkStatus();
}

}  // namespace trireme::testing

#include "tests/core/testing/toy_training.h"

#include <cstring>
#include <limits>

#include "core/autograd/tape.h"
#include "core/base/random.h"
#include "core/device/parallel_for.h"

namespace trireme::testing {
namespace {

// Both losses and their gradients, gradients of shape [2, 4].
template <class T>
void ComputeLosses(const Tensor& weight, const Batch& batch, const Tensor& seen, const Tensor& losses,
                   const Tensor& gradients, Stream& stream) {
  const T* w = weight.data<T>();
  const float* boxes = batch.boxes.data<float>();
  const int32_t* labels = batch.labels.data<int32_t>();
  const int64_t count = batch.labels.size();
  float *number = seen.data<float>(), *loss = losses.data<float>(), *gradient = gradients.data<float>();
  ParallelFor(stream, 1, [=](int64_t) {
    std::fill_n(loss, 2, 0.0f);
    std::fill_n(gradient, 8, 0.0f);
    for (int64_t i = 0; i < count; ++i) {
      float error =
          labels[i] == ToyDetector::kBadLabel ? std::numeric_limits<float>::infinity() : -static_cast<float>(labels[i]);
      for (int d = 0; d < 4; ++d) error += ToFloat(w[d]) * boxes[4 * i + d];
      loss[0] += error * error;
      for (int d = 0; d < 4; ++d) gradient[d] += 2 * error * boxes[4 * i + d];
    }
    for (int d = 0; d < 4; ++d) {
      loss[1] += ToFloat(w[d]) * ToFloat(w[d]) / 100;
      gradient[4 + d] = ToFloat(w[d]) / 50;
    }
    number[0] += static_cast<float>(count);
  });
}

template <class T>
void TimesRounded(const Tensor& gradient, const Tensor& upstream, const Tensor& result, Stream& stream) {
  const float *from = gradient.data<float>(), *by = upstream.data<float>();
  float* to = result.data<float>();
  ParallelFor(stream, result.size(), [=](int64_t d) { to[d] = ToFloat(FromFloat<T>(from[d] * by[0])); });
}

}  // namespace

ToyDetector::ToyDetector()
    : weight_(AddParameter("weight", {4}, init::Normal(0.1f))),
      unused_(AddParameter("unused", {3}, init::Constant(2))),
      seen_(AddBuffer("seen", {1}, 0)) {}

StatusOr<NamedLosses> ToyDetector::Loss(Context& context, const Batch& batch) {
  Device& device = context.device;
  Stream& stream = context.stream();
  const Var weight = weight_.var;
  const DataType type = ActivationType(context.precision);
  const Tensor losses = Tensor::Empty(device, {2}), gradients = Tensor::Empty(device, {2, 4});
  DispatchFloating(type, [&](auto element) {
    ComputeLosses<decltype(element)>(weight.ValueAs(type), batch, seen_.value, losses, gradients, stream);
  });
  const auto loss = [&](const char* name, int index) {
    const Tensor gradient = gradients.Slice(index, index + 1);
    return Record(context, name, losses.Slice(index, index + 1), {weight},
                  [&device, &stream, weight, gradient, type](const Tensor& upstream) {
                    const Tensor result = Tensor::Empty(device, {4});
                    DispatchFloating(type, [&](auto element) {
                      TimesRounded<decltype(element)>(gradient, upstream, result, stream);
                    });
                    weight.AccumulateGradient(result, stream);
                  });
  };
  return NamedLosses{{"fit", loss("fit", 0)}, {"size", loss("size", 1)}};
}

StatusOr<std::vector<Detections>> ToyDetector::Detect(Context&, const Tensor& images, const Tensor&) {
  return std::vector<Detections>(images.dim(0));
}

Status ToyOptimizer::Setup(const ParameterArena& arena, const std::vector<ArenaPiece>& pieces) {
  learning_rate_ = Tensor::Zeros(arena.device(), {1}, DataType::kFloat32, MemoryKind::kOptimizer);
  pieces_ = OptimizerPieces(arena, pieces, {"momentum"});
  return absl::OkStatus();
}

void ToyOptimizer::BeginStep(int64_t, float learning_rate, Stream& stream) {
  float* rate = learning_rate_.data<float>();
  ParallelFor(stream, 1, [=](int64_t) { *rate = learning_rate; });
}

void ToyOptimizer::Update(int64_t begin, int64_t end, const UpdateControl& control, Stream& stream) {
  const OptimizerPieces::Piece& piece = pieces_.Find(begin, end);
  const int64_t first = begin - piece.at.begin;
  float *value = piece.at.values.data<float>(), *momentum = piece.state[0].data<float>();
  const float *gradient = piece.at.gradients.data<float>(), *rate = learning_rate_.data<float>();
  ParallelFor(stream, end - begin, [=](int64_t offset) {
    if (control.apply != nullptr && *control.apply == 0) return;
    const int64_t i = first + offset;
    const float by = control.gradient_multiplier != nullptr ? *control.gradient_multiplier : 1.0f;
    momentum[i] = 0.9f * momentum[i] + by * gradient[i];
    value[i] -= *rate * momentum[i];
  });
}

Status ToyStrategy::Setup() {
  TRIREME_RETURN_IF_ERROR(args_.optimizer->Setup(*args_.arena, {WholeArena(*args_.arena)}));
  TRIREME_RETURN_IF_ERROR(
      args_.communicator->Broadcast(args_.arena->values(), 0, args_.arena->device().compute_stream()));
  args_.arena->RefreshRounded();
  return absl::OkStatus();
}

Status ToyStrategy::Settle() {
  settled_after_.push_back(step_ + 1);
  CHECK_EQ(announced_.steps_done, step_ + 1);
  CHECK(announced_.checkpoint || announced_.evaluation || announced_.stop);
  if (synchronous()) return absl::OkStatus();
  Stream& stream = args_.arena->device().compute_stream();
  TRIREME_RETURN_IF_ERROR(args_.communicator->Broadcast(args_.arena->values(), 0, stream));
  stream.Synchronize();
  return args_.communicator->status();
}

Status ToyStrategy::Step(GradientGuard& guard) {
  Stream& stream = args_.arena->device().compute_stream();
  const int64_t size = args_.arena->size();
  if (synchronous()) {
    TRIREME_RETURN_IF_ERROR(args_.communicator->AllReduce(args_.arena->gradients(), ReduceOperation::kSum, stream));
  } else {
    args_.optimizer->BeginStep(step_, args_.schedule->LearningRate(step_), stream);
  }
  if (guard.waits_for_all()) {
    const int64_t share = inspects_share_ ? size / args_.communicator->size() : size;
    const int64_t begin = inspects_share_ ? share * args_.communicator->rank() : 0;
    guard.Inspect(begin, args_.arena->gradients().Flat(begin, begin + share), stream);
    TRIREME_RETURN_IF_ERROR(guard.Decide(/*replicated=*/!inspects_share_, stream));
  }
  args_.optimizer->Update(0, size, guard.control(), stream);
  return absl::OkStatus();
}

Status ToyBatches::Next(int64_t step, Batch* batch) {
  if (options_.before != nullptr) TRIREME_RETURN_IF_ERROR(options_.before(step));
  const bool other = options_.other_images > 0 && step % 2 == 1;
  const int images = other ? options_.other_images : options_.images;
  Batch& mine = batches_[other ? 1 : 0];
  Random random(5, RandomUse::kSynthesis, static_cast<uint64_t>(step), static_cast<uint64_t>(rank_));
  std::vector<float> boxes;
  std::vector<int32_t> labels;
  mine.image_ids.clear();
  const bool bad = step == options_.bad_step || (step > options_.bad_step && step <= options_.bad_until);
  for (int i = 0; i < images; ++i) {
    for (int d = 0; d < 4; ++d) boxes.push_back(random.Uniform(-1, 1) * (step == options_.huge_step ? 300.0f : 1.0f));
    labels.push_back(bad ? ToyDetector::kBadLabel : static_cast<int32_t>(random.Below(3)));
    mine.image_ids.push_back(100 * step + 10 * rank_ + i);
  }
  if (!mine.images.defined() || step == options_.moves_at) {
    const Batch before = mine;  // its memory is not given out again meanwhile
    mine.images = Tensor::Zeros(device_, {images, 1, 1, 3}, DataType::kUint8);
    mine.boxes = Tensor::Empty(device_, {images, 1, 4});
    mine.labels = Tensor::Empty(device_, {images, 1}, DataType::kInt32);
  }
  device_.compute_stream().Enqueue([boxes, labels, to_boxes = mine.boxes.raw(), to_labels = mine.labels.raw()] {
    std::memcpy(to_boxes, boxes.data(), boxes.size() * sizeof(float));
    std::memcpy(to_labels, labels.data(), labels.size() * sizeof(int32_t));
  });
  *batch = mine;
  return absl::OkStatus();
}

}  // namespace trireme::testing

#include "tests/models/testing/model_fixture.h"

#include "core/autograd/tape.h"
#include "core/base/random.h"
#include "models/ssd/ssd.h"

namespace trireme {

ResNetSmallConfig TinyBackbone() {
  ResNetSmallConfig config;
  config.set_stem_channels(8);
  for (int channels : {8, 16, 24}) config.add_stage()->set_channels(channels);
  config.mutable_norm()->set_mode(NormConfig::FROZEN);
  // Else the last convolution of each block has no gradient in the first step.
  config.set_zero_init_residual(false);
  return config;
}

SsdConfig TinySsd(const ResNetSmallConfig& backbone) {
  SsdConfig config;
  config.set_num_classes(2);
  config.set_image_size(64);
  config.mutable_backbone()->set_type_url("backbone/resnet_small");
  config.mutable_backbone()->set_value(backbone.SerializeAsString());
  for (float scale : {0.2f, 0.4f, 0.8f}) config.mutable_anchors()->add_scales(scale);
  return config;
}

TestModel::TestModel(const SsdConfig& config, int threads, uint64_t seed, Precision precision)
    : TestModel(config, *MakeDevice("cpu", threads), seed, precision) {}

TestModel::TestModel(const SsdConfig& config, std::unique_ptr<Device> device, uint64_t seed, Precision precision)
    : TestModel(MakeSsd(config, {}).value(), std::move(device), seed, precision) {}

TestModel::TestModel(std::unique_ptr<Detector> detector, std::unique_ptr<Device> device, uint64_t seed,
                     Precision precision, int world_size)
    : precision_(precision), device_(std::move(device)), detector_(std::move(detector)) {
  device_->BindToThisThread();
  auto arena = ParameterArena::Build(detector_.get(), *device_, world_size, seed, ActivationType(precision));
  CHECK(arena.ok()) << arena.status();
  arena_ = *std::move(arena);
}

Batch TestModel::MakeBatch(const std::vector<int>& objects, int places, uint64_t seed) const {
  const int64_t count = static_cast<int64_t>(objects.size());
  const int height = detector_->image_spec().height, width = detector_->image_spec().width;
  Random random(seed, RandomUse::kSynthesis);
  std::vector<uint8_t> pixels(count * height * width * 3);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.Below(90));
  std::vector<float> boxes(count * places * 4, 0.0f);
  std::vector<int32_t> labels(count * places, -1);
  const bool is_padded = detector_->image_spec().keeps_aspect();
  std::vector<float> sizes;
  for (int64_t n = 0; n < count; ++n) {
    const int own_width = is_padded ? width - static_cast<int>(random.Below(width / 3)) : width;
    const int own_height = is_padded ? height - static_cast<int>(random.Below(height / 3)) : height;
    sizes.insert(sizes.end(), {static_cast<float>(own_height), static_cast<float>(own_width)});
    for (int g = 0; g < objects[n]; ++g) {
      const int box_width = width / 6 + random.Below(width / 3), box_height = height / 6 + random.Below(height / 3);
      const int left = random.Below(own_width - box_width), top = random.Below(own_height - box_height);
      const int label = g % 2;
      for (int y = top; y < top + box_height; ++y) {
        for (int x = left; x < left + box_width; ++x) pixels[((n * height + y) * width + x) * 3 + label * 2] = 250;
      }
      float* box = &boxes[(n * places + g) * 4];
      box[0] = static_cast<float>(left);
      box[1] = static_cast<float>(top);
      box[2] = static_cast<float>(left + box_width);
      box[3] = static_cast<float>(top + box_height);
      labels[n * places + g] = label;
    }
  }
  Batch batch;
  batch.images = Tensor::From(*device_, {count, height, width, 3}, pixels);
  batch.boxes = Tensor::From(*device_, {count, places, 4}, boxes);
  batch.labels = Tensor::From(*device_, {count, places}, labels);
  std::vector<int64_t> keys;
  for (int64_t n = 0; n < count; ++n) keys.push_back(RandomKey(static_cast<int64_t>(seed), n));
  batch.random_keys = Tensor::From(*device_, {count}, keys);
  if (is_padded) batch.image_sizes = Tensor::From(*device_, {count, 2}, sizes);
  return batch;
}

std::vector<float> TestModel::Step(const Batch& batch, bool backward, Communicator* communicator) {
  Tape tape(arena_->Vars(), nullptr);
  Context context(*device_);
  context.training = true;
  context.precision = precision_;
  context.communicator = communicator;
  if (backward) context.tape = &tape;
  auto losses = detector_->Loss(context, batch);
  CHECK(losses.ok()) << losses.status();
  std::vector<float> values;
  std::vector<Var> vars;
  for (const auto& [name, loss] : *losses) {
    values.push_back(loss.value().ToVector<float>()[0]);
    vars.push_back(loss);
  }
  losses = NamedLosses();
  if (backward) tape.Backward(vars, context.stream());
  return values;
}

void TestModel::Descend(float learning_rate) {
  float* value = arena_->values().data<float>();
  const float* gradient = arena_->gradients().data<float>();
  for (int64_t i = 0; i < arena_->size(); ++i) value[i] -= learning_rate * gradient[i];
  arena_->RefreshRounded();
}

}  // namespace trireme

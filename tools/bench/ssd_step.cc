// Times training steps of a detector, SSD300-VGG16 unless --model says another, on random images: forward, backward,
// and an update with momentum and weight decay. Prints one JSON object. torch_ssd_step.py does the same with
// torchvision, compare_ssd_step.py compares.
#include <gflags/gflags.h>
#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/api/detector.h"
#include "core/autograd/tape.h"
#include "core/base/random.h"
#include "core/base/registry.h"
#include "core/base/status.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/device/device.h"
#include "core/device/parallel_for.h"
#include "core/nn/parameter_arena.h"

DEFINE_string(model, "[model/ssd] { backbone { [backbone/vgg16] {} } }", "as in a config's `model { }`");
DEFINE_int32(threads, 1, "CPU threads");
DEFINE_int32(batch, 4, "images in a step");
DEFINE_int32(classes, 90, "without the background");
DEFINE_int32(objects, 8, "in each image");
DEFINE_int32(warmup, 2, "steps before the clock runs");
DEFINE_int32(steps, 5, "steps that are timed");

namespace trireme {
namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Of this process, all threads together: what counts where others use the machine too.
double ProcessorSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Batch RandomBatch(Device& device, const ImageSpec& spec) {
  Random random(1, RandomUse::kSynthesis);
  const int64_t count = FLAGS_batch, places = FLAGS_objects;
  std::vector<uint8_t> pixels(count * spec.height * spec.width * 3);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.Below(256));
  std::vector<float> boxes;
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < count * places; ++i) {
    const float width = random.Uniform(20, 150), height = random.Uniform(20, 150);
    const float left = random.Uniform(0, spec.width - width), top = random.Uniform(0, spec.height - height);
    boxes.insert(boxes.end(), {left, top, left + width, top + height});
    labels.push_back(static_cast<int32_t>(random.Below(FLAGS_classes)));
  }
  Batch batch;
  batch.images = Tensor::From(device, {count, spec.height, spec.width, 3}, pixels);
  batch.boxes = Tensor::From(device, {count, places, 4}, boxes);
  batch.labels = Tensor::From(device, {count, places}, labels);
  return batch;
}

int Run() {
  const double start = Now();
  const auto device = *MakeDevice("cpu", FLAGS_threads);
  device->BindToThisThread();
  Stream& stream = device->compute_stream();
  Config config;
  const Status parsed = ParseText("model { " + FLAGS_model + " }", "--model", &config);
  if (!parsed.ok()) {
    std::cerr << parsed.message() << std::endl;
    return ExitCode(parsed);
  }
  Detector::BuildArgs args;
  for (int i = 0; i < FLAGS_classes; ++i) args.class_names.push_back(absl::StrCat("class", i));
  auto detector = CreateComponent<Detector>(config.model(), "model", args);
  CHECK(detector.ok()) << detector.status();
  auto arena = ParameterArena::Build(detector->get(), *device, 1, 1);
  CHECK(arena.ok()) << arena.status();
  const Batch batch = RandomBatch(*device, (*detector)->image_spec());
  const Tensor momentum = Tensor::Zeros(*device, {(*arena)->size()}, DataType::kFloat32, MemoryKind::kOptimizer);
  Tape tape((*arena)->Vars(), nullptr);
  const double setup_seconds = Now() - start;

  std::vector<double> forward, backward, update, total, processor;
  double loss = 0;
  for (int step = 0; step < FLAGS_warmup + FLAGS_steps; ++step) {
    const double begin = Now(), processor_begin = ProcessorSeconds();
    Context context(*device);
    context.training = true;
    context.tape = &tape;
    context.step = step;
    auto losses = (*detector)->Loss(context, batch);
    CHECK(losses.ok()) << losses.status();
    const double after_forward = Now();
    std::vector<Var> vars;
    loss = 0;
    for (const auto& [name, value] : *losses) {
      vars.push_back(value);
      loss += value.value().ToVector<float>()[0];
    }
    losses = NamedLosses();
    tape.Backward(vars, stream);
    const double after_backward = Now();

    float* value = (*arena)->values().data<float>();
    const float* gradient = (*arena)->gradients().data<float>();
    float* velocity = momentum.data<float>();
    ParallelFor(stream, (*arena)->size(), [=](int64_t i) {
      velocity[i] = 0.9f * velocity[i] + gradient[i] + 5e-4f * value[i];
      value[i] -= 1e-4f * velocity[i];
    });
    const double end = Now();
    if (step < FLAGS_warmup) continue;
    forward.push_back(after_forward - begin);
    backward.push_back(after_backward - after_forward);
    update.push_back(end - after_backward);
    total.push_back(end - begin);
    processor.push_back(ProcessorSeconds() - processor_begin);
  }

  const auto median = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
  };
  const MemoryStats memory = device->memory();
  nlohmann::ordered_json result;
  result["framework"] = "trireme";
  result["threads"] = FLAGS_threads;
  result["batch"] = FLAGS_batch;
  result["seconds"] = total;
  result["median"] = median(total);
  result["min"] = *std::min_element(total.begin(), total.end());
  result["processor"] = median(processor);
  result["forward"] = median(forward);
  result["backward"] = median(backward);
  result["update"] = median(update);
  result["setup"] = setup_seconds;
  result["peak_mib"] = memory.peak_total >> 20;
  result["loss"] = loss;
  std::cout << result.dump() << std::endl;
  return 0;
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  CHECK_GT(FLAGS_steps, 0);
  return trireme::Run();
}

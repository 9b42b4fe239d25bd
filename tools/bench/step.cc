// Times training steps of a detector on random images that lie on the device: the trainer's own step, recorded where
// the device can, with SGD with momentum and weight decay. On CPU torch_step.py does the same with torchvision, and
// compare_step.py compares.
//
//   bazel run --config=cuda //tools/bench:step -- --model=resnet50 --batch=128 --precision=bf16
#include <gflags/gflags.h>
#include <glog/logging.h>

#include <algorithm>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/api/detector.h"
#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/base/registry.h"
#include "core/base/status.h"
#include "core/config/config.pb.h"
#include "core/config/config_file.h"
#include "core/device/device.h"
#include "core/nn/parameter_arena.h"
#include "core/train/train_step.h"
#include "parallel/communicator/thread/thread_communicator.h"
#include "tools/job/precision.h"

DEFINE_string(model, "vgg16",
              "SSD300 on vgg16 or resnet50 (NVIDIA's, cut after layer3), small (the first run's), or a model as in a "
              "config's `model { }`");
DEFINE_string(device, "auto", "as in a config");
DEFINE_string(precision, "fp32", "fp32, tf32, bf16 or fp16");
DEFINE_bool(measured, true, "a GPU's convolutions by what takes least, as convolution_engines: MEASURED does");
DEFINE_bool(record, true, "record the step where the device can, and launch it as a whole");
DEFINE_int32(threads, 1, "CPU threads");
DEFINE_int32(batch, 4, "images in a step");
DEFINE_int32(classes, 90, "without the background");
DEFINE_int32(objects, 8, "in each image");
DEFINE_double(learning_rate, 1e-4, "of every step");
DEFINE_int32(warmup, 4, "steps before the clock runs; recording begins with the third");
DEFINE_int32(steps, 20, "steps that are timed");
DEFINE_bool(json, false, "print one JSON object, with every step's seconds");

namespace trireme {
namespace {

// Of this process, all threads together: what counts where others use the machine too.
double ProcessorSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

std::string ModelText() {
  if (FLAGS_model == "vgg16") {
    // Of random weights, pixels of about 1 keep the loss finite.
    return "[model/ssd] { backbone { [backbone/vgg16] { pixel_deviation: 58 } } }";
  }
  if (FLAGS_model == "resnet50") {
    return "[model/ssd] { backbone { [backbone/resnet] { depth: 50 stages: 3 stage_strides: [1, 2, 1] maps: 3 "
           "extra { narrow_channels: 256 channels: 512 } extra { narrow_channels: 256 channels: 512 } "
           "extra { narrow_channels: 128 channels: 256 } "
           "extra { narrow_channels: 128 channels: 256 stride: 1 step: 100 } "
           "extra { narrow_channels: 128 channels: 256 stride: 1 step: 300 } } } }";
  }
  if (FLAGS_model == "small") {
    return "[model/ssd] { image_size: 128 backbone { [backbone/resnet_small] { stem_channels: 24 "
           "stage { channels: 24 blocks: 1 } stage { channels: 48 blocks: 1 } stage { channels: 96 blocks: 2 } "
           "stage { channels: 128 blocks: 1 } top_down_channels: 48 } } }";
  }
  return FLAGS_model;
}

StatusOr<Config> MakeConfig() {
  std::string precision = FLAGS_precision;
  std::transform(precision.begin(), precision.end(), precision.begin(), ::toupper);
  Config config;
  TRIREME_RETURN_IF_ERROR(
      ParseText(absl::StrCat("model { ", ModelText(), " }\nprecision: ", precision,
                             "\noptimizer { [optimizer/sgd] { momentum: 0.9 weight_decay: 5e-4 } }\n"
                             "strategy { [strategy/single] {} }"),
                "--model and --precision", &config));
  return config;
}

Batch RandomBatch(Device& device, const ImageSpec& spec) {
  Random random(1, RandomUse::kSynthesis);
  const int64_t count = FLAGS_batch, places = FLAGS_objects;
  const float least = 0.06f * static_cast<float>(spec.width), most = 0.5f * static_cast<float>(spec.width);
  std::vector<uint8_t> pixels(count * spec.height * spec.width * 3);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random.Below(256));
  std::vector<float> boxes;
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < count * places; ++i) {
    const float width = random.Uniform(least, most), height = random.Uniform(least, most);
    const float left = random.Uniform(0, spec.width - width), top = random.Uniform(0, spec.height - height);
    boxes.insert(boxes.end(), {left, top, left + width, top + height});
    labels.push_back(static_cast<int32_t>(random.Below(FLAGS_classes)));
  }
  Batch batch;
  batch.images = Tensor::From(device, {count, spec.height, spec.width, 3}, pixels);
  batch.boxes = Tensor::From(device, {count, places, 4}, boxes);
  batch.labels = Tensor::From(device, {count, places}, labels);
  std::vector<int64_t> keys;
  for (int64_t i = 0; i < count; ++i) keys.push_back(RandomKey(0, i));
  batch.random_keys = Tensor::From(device, {count}, keys);
  return batch;
}

struct Timings {
  double setup = 0;               // seconds before the first step
  double total = 0;               // of all timed steps together
  std::vector<double> seconds;    // of each, from the end of the one before
  std::vector<double> host;       // of these, until the host had enqueued it
  std::vector<double> processor;  // of the process
  int recorded = 0;               // how many steps were recorded
  int64_t trained_values = 0;     // of the model
  float loss = 0;                 // of the last
  bool applied = true;            // whether all updates were applied
  MemoryStats memory;
  std::string device;
};

Status TimeSteps(const Config& config, Communicator& communicator, Timings* timings) {
  const double start = Now();
  DeviceOptions of_device;
  of_device.name = FLAGS_device;
  of_device.threads = FLAGS_threads;
  of_device.time_engines = FLAGS_measured;
  TRIREME_ASSIGN_OR_RETURN(const auto device, MakeDevice(of_device));
  device->BindToThisThread();
  const Precision precision = PrecisionOf(config);
  Detector::BuildArgs args;
  for (int i = 0; i < FLAGS_classes; ++i) args.class_names.push_back(absl::StrCat("class", i));
  TRIREME_ASSIGN_OR_RETURN(auto detector, CreateComponent<Detector>(config.model(), "model", args));
  TRIREME_ASSIGN_OR_RETURN(auto arena, ParameterArena::Build(detector.get(), *device, 1, 1, ActivationType(precision)));
  TRIREME_ASSIGN_OR_RETURN(auto optimizer, CreateComponent<Optimizer>(config.optimizer(), "optimizer", {}));
  TRIREME_ASSIGN_OR_RETURN(auto strategy, CreateComponent<Strategy>(config.strategy(), "strategy",
                                                                    {arena.get(), optimizer.get(), &communicator}));
  TRIREME_RETURN_IF_ERROR(strategy->Setup());
  StepGuardOptions of_guard;
  of_guard.loss_scale.enabled = precision == Precision::kFloat16;
  StepGuard guard(*arena, communicator, of_guard);
  StepResults results(*device, communicator);
  const std::vector<Batch> batch = {RandomBatch(*device, detector->image_spec())};
  TrainStepOptions options;
  options.precision = precision;
  options.may_record = FLAGS_record;
  TrainStep train_step(
      {device.get(), &communicator, detector.get(), arena.get(), optimizer.get(), strategy.get(), &guard}, &results,
      options);
  timings->device = device->name();
  timings->trained_values = arena->NumTrainedValues();
  timings->setup = Now() - start;

  // As the trainer, the host is a step ahead of a device that runs beside it.
  const int64_t lag = device->compute_stream().is_inline() ? 0 : 1;
  double begin = 0, last_end = 0, last_processor = 0;
  const auto read = [&](bool is_timed) {
    const StepOutcome outcome = results.Read();
    const double now = Now(), processor = ProcessorSeconds();
    if (is_timed) {
      timings->seconds.push_back(now - last_end);
      timings->processor.push_back(processor - last_processor);
    }
    last_end = now;
    last_processor = processor;
    timings->applied = timings->applied && outcome.applied;
    timings->loss = 0;
    for (float loss : outcome.losses[0]) timings->loss += loss;
  };
  for (int step = 0; step < FLAGS_warmup + FLAGS_steps; ++step) {
    if (step == FLAGS_warmup) {
      while (results.num_unread() > 0) read(false);
      device->compute_stream().Synchronize();
      begin = last_end = Now();
      last_processor = ProcessorSeconds();
    }
    const double before = Now();
    TRIREME_RETURN_IF_ERROR(
        train_step.Run(step, static_cast<float>(FLAGS_learning_rate), batch, [] { return WorkerNote(); }));
    if (step >= FLAGS_warmup) timings->host.push_back(Now() - before);
    while (results.num_unread() > lag) read(step >= FLAGS_warmup);
  }
  while (results.num_unread() > 0) read(true);
  timings->total = Now() - begin;
  timings->recorded = train_step.num_recorded();
  timings->memory = device->memory();
  return absl::OkStatus();
}

void PrintJson(const Timings& timings) {
  nlohmann::ordered_json result;
  result["framework"] = "trireme";
  result["device"] = timings.device;
  result["model"] = FLAGS_model;
  result["precision"] = FLAGS_precision;
  result["threads"] = FLAGS_threads;
  result["batch"] = FLAGS_batch;
  result["trained_values"] = timings.trained_values;
  result["images_per_second"] = FLAGS_batch * FLAGS_steps / timings.total;
  result["seconds"] = timings.seconds;
  result["median"] = Median(timings.seconds);
  result["min"] = *std::min_element(timings.seconds.begin(), timings.seconds.end());
  result["processor"] = Median(timings.processor);
  result["host"] = Median(timings.host);
  result["recorded"] = timings.recorded;
  result["setup"] = timings.setup;
  for (int kind = 0; kind < kNumMemoryKinds; ++kind) {
    result["peak_mib_by_kind"][MemoryKindName(static_cast<MemoryKind>(kind))] = timings.memory.peak[kind] >> 20;
  }
  result["peak_mib"] = timings.memory.peak_total >> 20;
  result["reserved_mib"] = timings.memory.reserved >> 20;
  result["loss"] = timings.loss;
  result["applied"] = timings.applied;
  std::cout << result.dump() << std::endl;
}

void PrintTable(const Timings& timings) {
  std::cout << absl::StrFormat("%s on %s, %s, batch %d: %.1f images/s\n", FLAGS_model, timings.device, FLAGS_precision,
                               FLAGS_batch, FLAGS_batch * FLAGS_steps / timings.total)
            << absl::StrFormat("a step: %.3f ms (median of %d), of the host's time %.3f ms; %s\n",
                               1e3 * Median(timings.seconds), FLAGS_steps, 1e3 * Median(timings.host),
                               timings.recorded > 0 ? "recorded" : "not recorded")
            << absl::StrFormat("peak memory: %d MiB (", timings.memory.peak_total >> 20);
  for (int kind = 0; kind < kNumMemoryKinds; ++kind) {
    std::cout << (kind > 0 ? ", " : "") << MemoryKindName(static_cast<MemoryKind>(kind)) << " "
              << (timings.memory.peak[kind] >> 20);
  }
  std::cout << absl::StrFormat("); loss %.4f%s\n", timings.loss,
                               timings.applied ? "" : "; some updates were not applied");
}

int Run() {
  const auto config = MakeConfig();
  Status status = config.status();
  Timings timings;
  if (status.ok()) {
    status = MakeThreadLauncher(/*timeout_seconds=*/60)->Run(1, [&](Communicator& communicator) {
      return CatchDeviceError([&] { return TimeSteps(*config, communicator, &timings); });
    });
  }
  if (!status.ok()) {
    std::cerr << status.message() << std::endl;
    return ExitCode(status);
  }
  if (FLAGS_json) {
    PrintJson(timings);
  } else {
    PrintTable(timings);
  }
  return 0;
}

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  for (const auto& [name, value] : {std::pair<const char*, int>{"steps", FLAGS_steps},
                                    {"batch", FLAGS_batch},
                                    {"classes", FLAGS_classes},
                                    {"threads", FLAGS_threads}}) {
    if (value > 0) continue;
    std::cerr << "--" << name << " is " << value << "; it has to be positive" << std::endl;
    return 2;
  }
  return trireme::Run();
}

// A detector with its arena on a device, the CPU unless told otherwise, and small batches to train it on.
#ifndef TRIREME_TESTS_MODELS_TESTING_MODEL_FIXTURE_H_
#define TRIREME_TESTS_MODELS_TESTING_MODEL_FIXTURE_H_

#include <memory>
#include <vector>

#include "core/api/communicator.h"
#include "core/api/detector.h"
#include "core/device/device.h"
#include "core/nn/parameter_arena.h"
#include "models/backbones/resnet_small.pb.h"
#include "models/ssd/ssd.pb.h"

namespace trireme {

// 64 x 64 images, two classes, two maps; small enough for many steps in a second.
ResNetSmallConfig TinyBackbone();
SsdConfig TinySsd(const ResNetSmallConfig& backbone);

class TestModel {
 public:
  explicit TestModel(const SsdConfig& config, int threads = 1, uint64_t seed = 1,
                     Precision precision = Precision::kFloat32);
  TestModel(const SsdConfig& config, std::unique_ptr<Device> device, uint64_t seed = 1,
            Precision precision = Precision::kFloat32);
  // Any detector, of at least two classes.
  TestModel(std::unique_ptr<Detector> detector, std::unique_ptr<Device> device, uint64_t seed = 1,
            Precision precision = Precision::kFloat32, int world_size = 1);

  // Random pixels with bright boxes of a class of their own colour; `objects` in each image, up to `places` of them.
  Batch MakeBatch(const std::vector<int>& objects, int places, uint64_t seed) const;

  // Losses of one forward pass in training mode, and with `backward` the gradients in the arena.
  std::vector<float> Step(const Batch& batch, bool backward, Communicator* communicator = nullptr);
  // Plain gradient descent, after Step.
  void Descend(float learning_rate);

  Detector& detector() { return *detector_; }
  ParameterArena& arena() { return *arena_; }
  Device& device() { return *device_; }

 private:
  const Precision precision_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Detector> detector_;
  std::unique_ptr<ParameterArena> arena_;
};

}  // namespace trireme

#endif  // TRIREME_TESTS_MODELS_TESTING_MODEL_FIXTURE_H_

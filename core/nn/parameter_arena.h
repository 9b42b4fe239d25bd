// All parameters of a model in one flat array, all gradients in another, all buffers in a third.
//
// A bucket of a strategy, a shard of an optimizer and a record of a checkpoint are ranges of these
// arrays, so nothing is copied to be communicated. Both parameter arrays are padded with zeros to a
// multiple of `alignment` (the world size times a cache line), so that they divide evenly. The order is
// the module's own and the same on every worker. Every parameter starts at a 64-byte boundary.
#ifndef TRIREME_CORE_NN_PARAMETER_ARENA_H_
#define TRIREME_CORE_NN_PARAMETER_ARENA_H_

#include <memory>
#include <string>
#include <vector>

#include "core/nn/module.h"

namespace trireme {

class ParameterArena : private GradientPlaces {
 public:
  // Allocates on `device`, gives every Parameter and Buffer of `module` its place, and initialises each
  // parameter from Random(seed, kInitialisation, index): the same values on every worker. Two
  // parameters of one name are InvalidArgument. May throw DeviceError. The module outlives the arena,
  // and the device both.
  //
  // `activations` is the element type that functions will read parameters in: if it has 16 bits, a copy of all values
  // in it is kept beside them (see RefreshRounded).
  static StatusOr<std::unique_ptr<ParameterArena>> Build(Module* module, Device& device, int world_size, uint64_t seed,
                                                         DataType activations = DataType::kFloat32);

  // Makes the 16-bit copies those of values() as they now are, in order of the compute stream; nothing if there are
  // none. For whoever has changed values(): a step's end, a load.
  void RefreshRounded() const;

  // [size()], padding included.
  const Tensor& values() const { return values_; }
  // Allocated, zero, when it is first asked for; may throw DeviceError. Gradients are written here unless
  // PlaceGradients has said otherwise: then nothing may ask for it.
  const Tensor& gradients() const;
  // All buffers, flat.
  const Tensor& buffer_values() const { return buffer_values_; }
  int64_t size() const { return values_.size(); }
  Device& device() const { return *device_; }

  // In arena order.
  const std::vector<Parameter*>& parameters() const { return parameters_; }
  const std::vector<Buffer*>& buffers() const { return buffers_; }
  std::vector<Var> Vars() const;

  // From now on gradients are written where `places` say, which outlive the arena's use for training: for a strategy
  // that does not need all of them at once. Before any gradient was written.
  void PlaceGradients(GradientPlaces* places);

  // Without padding.
  int64_t NumTrainedValues() const;

 private:
  ParameterArena() = default;
  Tensor PlaceOf(int parameter_index) override;

  Device* device_ = nullptr;
  Tensor values_;
  Tensor rounded_values_;  // undefined without 16-bit copies
  mutable Tensor gradients_;
  GradientPlaces* places_ = nullptr;
  Tensor buffer_values_;
  std::vector<Parameter*> parameters_;
  std::vector<Buffer*> buffers_;
};

}  // namespace trireme

#endif  // TRIREME_CORE_NN_PARAMETER_ARENA_H_

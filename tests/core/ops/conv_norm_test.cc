#include "core/ops/conv_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/ops/pointwise.h"
#include "core/ops/pooling.h"
#include "tests/core/testing/devices.h"

namespace trireme {
namespace {

using ops::Activation;
using ops::BatchNormMode;
using ops::NormedMap;

struct LayerSpec {
  int64_t outputs;
  int kernel = 1, stride = 1, dilation = 1;
  bool depthwise = false;
  Activation activation = Activation::kHardSwish;
};

struct Layer {
  Var weight;
  ops::BatchNormState state;
  ops::ConvOptions conv;
  ops::BatchNormOptions norm;
};

enum class Way { kInOne, kApart };

// What squeeze-and-excitation behind a layer has besides: nothing, another reader of the map, means that are read
// behind the gate as well, a gate that does not learn.
enum class Squeeze { kNone, kAlone, kBesideReader, kMeansAgain, kConstantGate };

struct ChainSpec {
  Shape input;
  std::vector<LayerSpec> layers;
  bool residual = false;             // the input is added behind the last layer
  bool second_reader = false;        // the first layer's map goes into the loss, too
  Squeeze squeeze = Squeeze::kNone;  // behind the last layer but one
  bool training = true;
  BatchNormMode mode = BatchNormMode::kPerWorker;
  bool constant_weights = false;
};

// All that a chain of layers gives: output, running statistics and gradients.
using Results = std::vector<std::pair<std::string, std::vector<float>>>;

class Chain {
 public:
  Chain(Device& device, const ChainSpec& spec) : device_(device), spec_(spec), random_(7, RandomUse::kSynthesis) {
    x_ = Var::Intermediate(Values(spec.input, -1, 1));
    int64_t inputs = spec.input[3];
    for (const LayerSpec& l : spec.layers) {
      Layer layer;
      const int64_t outputs = l.depthwise ? inputs : l.outputs;
      const Tensor weight = Values({outputs, l.kernel, l.kernel, l.depthwise ? 1 : inputs}, -0.5f, 0.5f);
      layer.weight = spec.constant_weights ? Var(weight) : Var::Intermediate(weight);
      const Tensor gamma = Values({outputs}, 0.5f, 1.5f), beta = Values({outputs}, -1, 1);
      layer.state.gamma = spec.constant_weights ? Var(gamma) : Var::Intermediate(gamma);
      layer.state.beta = spec.constant_weights ? Var(beta) : Var::Intermediate(beta);
      layer.state.running_mean = Values({outputs}, -0.5f, 0.5f);
      layer.state.running_variance = Values({outputs}, 0.5f, 2);
      layer.conv.stride = l.stride;
      layer.conv.dilation = l.dilation;
      layer.conv.padding = l.kernel / 2 * l.dilation;
      layer.conv.groups = l.depthwise ? static_cast<int>(inputs) : 1;
      layer.norm.activation = l.activation;
      layer.norm.mode = spec.mode;
      layers_.push_back(layer);
      inputs = outputs;
    }
  }

  Results Run(Way way) {
    Tape tape({}, nullptr);
    Context context(device_);
    context.tape = &tape;
    context.training = spec_.training;
    NormedMap map(x_);
    Var first;
    for (size_t k = 0; k < layers_.size(); ++k) {
      const Layer& l = layers_[k];
      const Var residual = spec_.residual && k + 1 == layers_.size() ? x_ : Var();
      if (way == Way::kInOne) {
        map = ops::ConvBatchNorm(context, map, l.weight, l.conv, l.state, residual, l.norm);
      } else {
        const Var made = ops::Conv2d(context, map.written(), l.weight, Var(), l.conv);
        map = NormedMap(ops::BatchNorm(context, made, l.state, residual, l.norm));
      }
      if (k == 0 && spec_.second_reader) first = ops::WriteOut(context, map);
      if (k + 2 == layers_.size() && spec_.squeeze != Squeeze::kNone) map = Squeezed(context, map, &first);
    }
    const Var y = ops::WriteOut(context, map);
    Results results = {{"output", y.value().ToVector<float>()}};
    Stream& stream = device_.compute_stream();
    y.AccumulateGradient(Values(y.shape(), -1, 1), stream);
    if (first.defined()) first.AccumulateGradient(Values(first.shape(), -1, 1), stream);
    tape.Backward({}, stream);
    const auto add = [&](const std::string& name, const Var& var) {
      if (var.requires_gradient()) results.emplace_back(name, var.TakeGradient().ToVector<float>());
    };
    add("gradient of x", x_);
    if (squeeze_.defined()) add("gradient of the gate's weight", squeeze_);
    for (size_t k = 0; k < layers_.size(); ++k) {
      const std::string of = " of layer " + std::to_string(k);
      add("gradient of weight" + of, layers_[k].weight);
      add("gradient of gamma" + of, layers_[k].state.gamma);
      add("gradient of beta" + of, layers_[k].state.beta);
      results.emplace_back("running mean" + of, layers_[k].state.running_mean.ToVector<float>());
      results.emplace_back("running variance" + of, layers_[k].state.running_variance.ToVector<float>());
    }
    return results;
  }

 private:
  // `besides` is what else goes into the loss.
  NormedMap Squeezed(Context& context, const NormedMap& map, Var* besides) {
    const int64_t images = map.shape()[0], channels = map.shape()[3];
    if (spec_.squeeze == Squeeze::kBesideReader) *besides = ops::WriteOut(context, map);
    const Tensor weight = Values({channels, 1, 1, channels}, -0.5f, 0.5f);
    squeeze_ = spec_.squeeze == Squeeze::kConstantGate ? Var(weight) : Var::Intermediate(weight);
    const Var mean = ops::GlobalAveragePool(context, map);
    const Var from = spec_.squeeze == Squeeze::kConstantGate ? Var(mean.value()) : mean;
    const Var gate = ops::Conv2d(context, ops::Reshape(context, from, {images, 1, 1, channels}), squeeze_, Var(), {});
    NormedMap gated = ops::HardSigmoidGate(context, map, gate);
    if (spec_.squeeze == Squeeze::kMeansAgain) *besides = ops::GlobalAveragePool(context, map);
    return gated;
  }

  Tensor Values(const Shape& shape, float low, float high) {
    std::vector<float> values(shape.size());
    for (float& value : values) value = random_.Uniform(low, high);
    return Tensor::From(device_, shape, values);
  }

  Device& device_;
  const ChainSpec spec_;
  Random random_;
  Var x_;
  std::vector<Layer> layers_;
  Var squeeze_;
};

Results RunChain(const ChainSpec& spec, Way way, int threads = 1) {
  auto device = testing::NewTestDevice("cpu", threads);
  device->BindToThisThread();
  return Chain(*device, spec).Run(way);
}

// By the root mean square, as elements that are nearly zero are differences of large ones; so are whole gradients, of
// what a norm takes away again.
void ExpectClose(const Results& a, const Results& b, double relative) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t k = 0; k < a.size(); ++k) {
    ASSERT_EQ(a[k].first, b[k].first);
    ASSERT_EQ(a[k].second.size(), b[k].second.size()) << a[k].first;
    double difference = 0, size = 0;
    for (size_t i = 0; i < a[k].second.size(); ++i) {
      ASSERT_TRUE(std::isfinite(a[k].second[i])) << a[k].first << " at " << i;
      difference += std::pow(a[k].second[i] - b[k].second[i], 2);
      size += std::pow(b[k].second[i], 2);
    }
    const double count = static_cast<double>(a[k].second.size());
    EXPECT_LE(std::sqrt(difference), relative * std::sqrt(size) + 1e-5 * std::sqrt(count)) << a[k].first;
  }
}

LayerSpec Pointwise(int64_t outputs, Activation activation = Activation::kHardSwish) {
  LayerSpec spec;
  spec.outputs = outputs;
  spec.activation = activation;
  return spec;
}

LayerSpec Depthwise(int kernel, int stride, int dilation = 1, Activation activation = Activation::kHardSwish) {
  LayerSpec spec;
  spec.outputs = 0;
  spec.kernel = kernel;
  spec.stride = stride;
  spec.dilation = dilation;
  spec.depthwise = true;
  spec.activation = activation;
  return spec;
}

// One layer, whose input lies in memory; and the same behind another, whose norm it applies.
void ExpectBothWaysAlike(ChainSpec spec) {
  for (const bool behind_another : {false, true}) {
    SCOPED_TRACE(behind_another ? "behind a norm" : "alone");
    if (behind_another) spec.layers.insert(spec.layers.begin(), Pointwise(spec.input[3]));
    ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
  }
}

TEST(ConvBatchNorm, OfPlacesIsConvolutionAndNorm) {
  for (const auto& [inputs, outputs] : std::vector<std::pair<int, int>>{{2, 1}, {3, 5}, {8, 24}, {40, 19}, {64, 72}}) {
    for (const Shape& extents : {Shape{1, 1, 3}, Shape{3, 5, 7}, Shape{2, 40, 33}}) {
      SCOPED_TRACE(::testing::Message() << inputs << " to " << outputs << " channels, " << extents);
      ExpectBothWaysAlike({{extents[0], extents[1], extents[2], inputs}, {Pointwise(outputs)}});
    }
  }
}

TEST(ConvBatchNorm, DepthwiseIsConvolutionAndNorm) {
  for (const int kernel : {1, 3, 5}) {
    for (const int stride : {1, 2, 3}) {
      for (const int dilation : {1, 2}) {
        for (const Shape& extents : {Shape{2, 1, 1}, Shape{1, 3, 2}, Shape{2, 9, 11}, Shape{1, 12, 20}}) {
          for (const int channels : {3, 8, 25}) {
            SCOPED_TRACE(::testing::Message() << kernel << " wide, stride " << stride << ", dilation " << dilation
                                              << ", " << extents << ", " << channels << " channels");
            ExpectBothWaysAlike(
                {{extents[0], extents[1], extents[2], channels}, {Depthwise(kernel, stride, dilation)}});
          }
        }
      }
    }
  }
}

// So large that each image is worked off in several bands.
TEST(ConvBatchNorm, DepthwiseInBandsIsConvolutionAndNorm) {
  for (const int kernel : {3, 5}) {
    for (const int stride : {1, 2}) {
      SCOPED_TRACE(::testing::Message() << kernel << " wide, stride " << stride);
      ExpectBothWaysAlike({{2, 67, 70, 56}, {Depthwise(kernel, stride)}});
    }
  }
}

TEST(ConvBatchNorm, ChainsWithEveryActivation) {
  for (const auto activation : {Activation::kNone, Activation::kRelu, Activation::kLeakyRelu, Activation::kRelu6,
                                Activation::kHardSwish, Activation::kSilu}) {
    SCOPED_TRACE(static_cast<int>(activation));
    ChainSpec spec{{2, 10, 14, 16}, {Pointwise(40, activation), Depthwise(3, 1, 1, activation), Pointwise(16)}};
    spec.layers.back().activation = Activation::kNone;
    spec.residual = true;
    ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
    spec.second_reader = true;
    ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
  }
}

TEST(ConvBatchNorm, SqueezeAndExcitationIsMeansAndGate) {
  for (const Squeeze squeeze :
       {Squeeze::kAlone, Squeeze::kBesideReader, Squeeze::kMeansAgain, Squeeze::kConstantGate}) {
    for (const bool training : {true, false}) {
      for (const bool behind_depthwise : {true, false}) {
        SCOPED_TRACE(::testing::Message() << "squeeze " << static_cast<int>(squeeze) << ", training " << training
                                          << ", behind a depthwise layer " << behind_depthwise);
        ChainSpec spec{{3, 14, 10, 16}, {Pointwise(40)}};
        if (behind_depthwise) spec.layers.push_back(Depthwise(5, 2));
        spec.layers.push_back(Pointwise(24));
        spec.squeeze = squeeze;
        spec.training = training;
        ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
      }
    }
  }
}

TEST(ConvBatchNorm, GatedMapsAreReadByOtherConvolutionsToo) {
  ChainSpec spec{{2, 9, 10, 8}, {Pointwise(24), Depthwise(3, 1)}};
  spec.squeeze = Squeeze::kAlone;
  ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
}

TEST(ConvBatchNorm, AddsAResidualBeforeTheActivation) {
  for (const auto activation : {Activation::kNone, Activation::kRelu, Activation::kLeakyRelu}) {
    ChainSpec spec{{2, 6, 5, 24}, {Pointwise(24, activation)}};
    spec.residual = true;
    ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
  }
}

TEST(ConvBatchNorm, WithStatisticsThatAreConstants) {
  for (const bool training : {false, true}) {
    for (const bool constant_weights : {false, true}) {
      SCOPED_TRACE(::testing::Message() << training << constant_weights);
      ChainSpec spec{{2, 6, 9, 12}, {Pointwise(20), Depthwise(3, 2), Pointwise(12)}};
      spec.training = training;
      if (training) spec.mode = BatchNormMode::kFrozen;
      spec.constant_weights = constant_weights;
      ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
    }
  }
}

TEST(ConvBatchNorm, OfNoImagesIsNothing) {
  ChainSpec spec{{0, 6, 9, 12}, {Pointwise(20), Depthwise(3, 2), Pointwise(12)}};
  spec.mode = BatchNormMode::kFrozen;
  for (const auto& [name, values] : RunChain(spec, Way::kInOne)) {
    for (const float value : values) ASSERT_TRUE(std::isfinite(value)) << name;
  }
}

TEST(ConvBatchNorm, LeavesWhatIsNotServedToConvolutionAndNorm) {
  LayerSpec full = Pointwise(12);
  full.kernel = 3;
  ChainSpec spec{{2, 6, 9, 12}, {Pointwise(20), full, Depthwise(3, 1)}};
  ExpectClose(RunChain(spec, Way::kInOne), RunChain(spec, Way::kApart), 1e-4);
}

TEST(ConvBatchNorm, TheSameBitsByAnyNumberOfThreads) {
  const ChainSpec spec{{3, 67, 70, 40}, {Pointwise(56), Depthwise(5, 2), Pointwise(40)}};
  const Results one = RunChain(spec, Way::kInOne);
  for (const int threads : {2, 3}) EXPECT_EQ(RunChain(spec, Way::kInOne, threads), one) << threads;
}

}  // namespace
}  // namespace trireme

#include "models/backbones/leaky_conv.h"

namespace trireme {
namespace {

NormedConvSpec Spec(int64_t inputs, int64_t outputs, int kernel, int stride, const NormConfig& norm) {
  NormedConvSpec spec;
  spec.inputs = inputs;
  spec.outputs = outputs;
  spec.kernel = kernel;
  spec.stride = stride;
  spec.norm = norm;
  spec.activation = ops::Activation::kLeakyRelu;
  return spec;
}

}  // namespace

LeakyConv::LeakyConv(int64_t inputs, int64_t outputs, int kernel, int stride, const NormConfig& norm)
    : NormedConv(Spec(inputs, outputs, kernel, stride, norm), "conv", "norm") {}

}  // namespace trireme

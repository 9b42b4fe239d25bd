#include "models/backbones/mobilenet_architecture.h"

namespace trireme {

using ops::Activation;

MobileNetArchitecture MobileNetV2Architecture() {
  MobileNetArchitecture v2{32, Activation::kRelu6, {}, 1280, "conv", true};
  int64_t inputs = v2.stem_channels;
  struct Row {
    int expansion;
    int64_t channels;
    int blocks, stride;
  };
  for (const Row& row : std::vector<Row>{
           {1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}) {
    for (int b = 0; b < row.blocks; ++b) {
      InvertedResidualSpec block;
      block.inputs = inputs;
      block.expanded = row.expansion * inputs;
      block.outputs = inputs = row.channels;
      block.stride = b == 0 ? row.stride : 1;
      v2.blocks.push_back(block);
    }
  }
  return v2;
}

MobileNetArchitecture MobileNetV3LargeArchitecture(bool reduced_tail) {
  const int64_t outputs = reduced_tail ? 80 : 160;
  MobileNetArchitecture v3{16, Activation::kHardSwish, {}, 6 * outputs, "block", false};
  struct Row {
    int kernel;
    int64_t expanded, outputs;
    bool squeeze, hard_swish;
    int stride;
  };
  for (const Row& row : std::vector<Row>{{3, 16, 16, false, false, 1},
                                         {3, 64, 24, false, false, 2},
                                         {3, 72, 24, false, false, 1},
                                         {5, 72, 40, true, false, 2},
                                         {5, 120, 40, true, false, 1},
                                         {5, 120, 40, true, false, 1},
                                         {3, 240, 80, false, true, 2},
                                         {3, 200, 80, false, true, 1},
                                         {3, 184, 80, false, true, 1},
                                         {3, 184, 80, false, true, 1},
                                         {3, 480, 112, true, true, 1},
                                         {3, 672, 112, true, true, 1},
                                         {5, 672, outputs, true, true, 2},
                                         {5, 6 * outputs, outputs, true, true, 1},
                                         {5, 6 * outputs, outputs, true, true, 1}}) {
    InvertedResidualSpec block;
    block.inputs = v3.blocks.empty() ? v3.stem_channels : v3.blocks.back().outputs;
    block.expanded = row.expanded;
    block.outputs = row.outputs;
    block.kernel = row.kernel;
    block.stride = row.stride;
    block.squeeze = row.squeeze;
    block.activation = row.hard_swish ? Activation::kHardSwish : Activation::kRelu;
    v3.blocks.push_back(block);
  }
  return v3;
}

}  // namespace trireme
